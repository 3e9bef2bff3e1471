// SPDX-License-Identifier: MIT
// What compiler and processor make of a few numbers: whether this build can give the contract's bits.
#ifndef TTZO_NUMBER_SELF_TEST_H
#define TTZO_NUMBER_SELF_TEST_H
#include "contract/ttzo_contract.h"

// 0, or the first enum ttzo_inexactness that shows. Costs about thirty operations.
uint32_t ttzo_self_test(void);

#endif
