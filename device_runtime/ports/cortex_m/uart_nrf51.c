// SPDX-License-Identifier: MIT
// The BBC micro:bit's pins 24 (TX) and 25 (RX). Seen working in QEMU; pins and baud rate were not run on hardware.
#define TTZO_NRF_TXD 24u
#define TTZO_NRF_RXD 25u
#include "nrf_uart.h"
