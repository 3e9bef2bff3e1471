# SPDX-License-Identifier: MIT
# `_ttzo` as a user C module of ports that build with CMake (rp2, esp32):
#
#   make -C micropython/ports/rp2 USER_C_MODULES=CHECKOUT/device_runtime/ports/micropython/ttzo/micropython.cmake
#
# -DTTZO_FUSED=1 for bundles exported in fused arithmetic. manifest.py freezes ttzo.py beside it.
get_filename_component(TTZO_RUNTIME ${CMAKE_CURRENT_LIST_DIR}/../../.. ABSOLUTE)
file(GLOB TTZO_CORE ${TTZO_RUNTIME}/*/*.c)
file(GLOB TTZO_MODULE ${CMAKE_CURRENT_LIST_DIR}/*.c)

add_library(usermod_ttzo INTERFACE)
target_sources(usermod_ttzo INTERFACE ${TTZO_MODULE} ${TTZO_CORE})
target_include_directories(usermod_ttzo INTERFACE ${CMAKE_CURRENT_LIST_DIR} ${TTZO_RUNTIME})
if(TTZO_FUSED)
    target_compile_definitions(usermod_ttzo INTERFACE TTZO_FUSED=1)
endif()
# The order of float operations is the contract's. Speed where a step spends its time.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/run.c ${TTZO_CORE} PROPERTIES
    COMPILE_OPTIONS "-O2;-ffp-contract=off;-fno-fast-math")
target_link_libraries(usermod INTERFACE usermod_ttzo)
