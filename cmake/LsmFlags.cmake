# Warnings, hardening and sanitizers, on one interface target that all code links.
add_library(lsm_flags INTERFACE)

target_compile_options(lsm_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wundef -Wvla -Wformat=2 -fno-omit-frame-pointer)
# Offsets and times of 64 bits where a long has 32.
target_compile_definitions(lsm_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64 _TIME_BITS=64)

# Some compilers leave part of the 64-bit atomics of a 32-bit machine to a library.
set(LSM_ATOMIC)
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
  set(LSM_ATOMIC -latomic)
endif()

if(LSM_WERROR)
  target_compile_options(lsm_flags INTERFACE -Werror)
endif()

if(LSM_SANITIZE)
  target_compile_options(lsm_flags INTERFACE -fsanitize=${LSM_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(lsm_flags INTERFACE -fsanitize=${LSM_SANITIZE})
else()
  target_compile_options(lsm_flags INTERFACE -fstack-protector-strong)
  # The checks need an optimising compiler; some distributions define it themselves.
  target_compile_options(lsm_flags INTERFACE
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE>
    $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|i[3-6]86)$")
    target_compile_options(lsm_flags INTERFACE -fcf-protection=full)
  elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL aarch64)
    target_compile_options(lsm_flags INTERFACE -mbranch-protection=standard)
  endif()
endif()
# Relocations are resolved at start and then read-only, and no stack is executable:
# tests/cli/hardening.sh reads it from what was built.
target_link_options(lsm_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)

if(LSM_PLANT)
  target_compile_definitions(lsm_flags INTERFACE LSM_PLANT)
endif()

if(LSM_SCHEDULE)
  target_compile_definitions(lsm_flags INTERFACE LSM_SCHEDULE)
endif()

if(LSM_BUILD_FUZZERS)
  target_compile_options(lsm_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
