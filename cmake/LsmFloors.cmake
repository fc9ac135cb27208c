# lsm_floor(NAME [BELOW FLOOR...]): the static library lsm_NAME from src/NAME/*.c,
# linked with the floors directly below it.
function(lsm_floor NAME)
  cmake_parse_arguments(ARG "" "" "BELOW" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${NAME}/*.c)
  if(NOT sources)
    add_library(lsm_${NAME} INTERFACE)
    set(scope INTERFACE)
  else()
    add_library(lsm_${NAME} STATIC ${sources})
    set(scope PUBLIC)
  endif()
  target_include_directories(lsm_${NAME} ${scope} ${PROJECT_SOURCE_DIR}/include
    ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(lsm_${NAME} ${scope} lsm_flags PkgConfig::ZSTD PkgConfig::XXHASH
    Threads::Threads m ${LSM_ATOMIC})
  foreach(floor ${ARG_BELOW})
    target_link_libraries(lsm_${NAME} ${scope} lsm_${floor})
  endforeach()
endfunction()
