// SPDX-License-Identifier: MIT
// A board whose core runs at TTZO_CLOCK_HZ from reset, and feeds its UART with the same clock.
#include "serial.h"

uint32_t ttzo_clock_start(void)
{
    return TTZO_CLOCK_HZ;
}
