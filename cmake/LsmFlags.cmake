# Warnings, hardening and sanitizers, on one interface target that all code links.
add_library(lsm_flags INTERFACE)

target_compile_options(lsm_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wundef -Wvla -Wformat=2 -fno-omit-frame-pointer)
target_compile_definitions(lsm_flags INTERFACE _GNU_SOURCE)

if(LSM_WERROR)
  target_compile_options(lsm_flags INTERFACE -Werror)
endif()

if(LSM_SANITIZE)
  target_compile_options(lsm_flags INTERFACE -fsanitize=${LSM_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(lsm_flags INTERFACE -fsanitize=${LSM_SANITIZE})
else()
  target_compile_options(lsm_flags INTERFACE -fstack-protector-strong)
  target_compile_definitions(lsm_flags INTERFACE
    $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
endif()

if(LSM_PLANT)
  target_compile_definitions(lsm_flags INTERFACE LSM_PLANT)
endif()

if(LSM_SCHEDULE)
  target_compile_definitions(lsm_flags INTERFACE LSM_SCHEDULE)
endif()

if(LSM_BUILD_FUZZERS)
  target_compile_options(lsm_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
