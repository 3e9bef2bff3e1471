// SPDX-License-Identifier: MIT
// What a program that trains in another way does, so that peers.py can count its instructions on an emulated board: a network
// of 64 inputs, 32 hidden units (relu) and 10 classes (soft-max, cross-entropy), trained by gradients.
#ifndef PEER_H
#define PEER_H
#include <stdint.h>

#define PEER_INPUTS 64
#define PEER_HIDDEN 32
#define PEER_CLASSES 10

// The data, which peers.py writes: rows in the order of the data set, where training rows come first.
extern const float peer_rows[][PEER_INPUTS];
extern const uint8_t peer_classes[];

// Takes the weights that training starts from, [hidden][inputs] and [classes][hidden]; biases start at 0. Returns the
// bytes that the network takes of memory that is no variable of the program.
uint32_t peer_begin(const float *first, const float *second);

// Trains once on each of n rows.
void peer_train(const uint16_t *rows, uint32_t n);

// The class of a row.
uint32_t peer_answer(const float *row);

#endif
