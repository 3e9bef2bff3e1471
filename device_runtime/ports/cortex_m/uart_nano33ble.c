// SPDX-License-Identifier: MIT
// The Arduino Nano 33 BLE's pins TX (P1.03) and RX (P1.10). NOT RUN.
#define TTZO_NRF_TXD 35u
#define TTZO_NRF_RXD 42u
#include "nrf_uart.h"
