# The library as others use it, made of the objects of all floors, and its
# installation. Not for instrumented builds, which test the floors themselves.
get_target_property(db_type lsm_db TYPE)
if(LSM_SANITIZE OR LSM_BUILD_FUZZERS OR NOT db_type STREQUAL "STATIC_LIBRARY")
  return()
endif()

include(CMakePackageConfigHelpers)

set(floor_objects)
foreach(floor base env memtable sstable vlog manifest compaction txn db)
  get_target_property(type lsm_${floor} TYPE)
  if(type STREQUAL "STATIC_LIBRARY")
    list(APPEND floor_objects $<TARGET_OBJECTS:lsm_${floor}>)
  endif()
endforeach()

set(version_script ${PROJECT_SOURCE_DIR}/cmake/lsmkv.map)
add_library(lsmkv SHARED ${floor_objects})
set_target_properties(lsmkv PROPERTIES
  LINKER_LANGUAGE C
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}
  LINK_DEPENDS ${version_script})
target_include_directories(lsmkv INTERFACE ${PROJECT_SOURCE_DIR}/include)
# It stays loaded once loaded: threads that have read through it run its destructor of
# thread-specific data when they end, which may be long after a dlclose().
target_link_options(lsmkv PRIVATE -Wl,--version-script=${version_script} -Wl,--no-undefined
  -Wl,-z,relro,-z,now,-z,noexecstack,-z,nodelete)
target_link_libraries(lsmkv PRIVATE PkgConfig::ZSTD PkgConfig::XXHASH Threads::Threads m
  ${LSM_ATOMIC})

set(archive ${PROJECT_BINARY_DIR}/liblsmkv.a)
add_custom_command(OUTPUT ${archive}
  COMMAND ${CMAKE_COMMAND} -E env NM=${CMAKE_NM} LD=${CMAKE_LINKER} OBJCOPY=${CMAKE_OBJCOPY}
    AR=${CMAKE_AR} ${PROJECT_SOURCE_DIR}/cmake/merge_archive.sh $<TARGET_FILE:lsmkv> ${archive}
    ${floor_objects}
  DEPENDS lsmkv ${floor_objects} ${PROJECT_SOURCE_DIR}/cmake/merge_archive.sh
  COMMAND_EXPAND_LISTS VERBATIM
  COMMENT "Merging liblsmkv.a")
add_custom_target(lsmkv_archive ALL DEPENDS ${archive})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lsmkv)

# Relative to the file itself, so that an installed tree may be moved.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR} OR IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
  set(pc_prefix ${CMAKE_INSTALL_PREFIX})
  set(pc_libdir ${CMAKE_INSTALL_FULL_LIBDIR})
  set(pc_includedir ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
  file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" up ${up})
  set(pc_prefix "\${pcfiledir}/${up}")
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(cmake/lsmkv.pc.in lsmkv.pc @ONLY)
configure_package_config_file(cmake/lsmkvConfig.cmake.in lsmkvConfig.cmake
  INSTALL_DESTINATION ${package_dir}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(lsmkvConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(TARGETS lsmkv LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/lsmkv.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${PROJECT_BINARY_DIR}/lsmkv.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_BINARY_DIR}/lsmkvConfig.cmake
  ${PROJECT_BINARY_DIR}/lsmkvConfigVersion.cmake DESTINATION ${package_dir})
install(FILES docs/man/lsmkv.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
