# SPDX-License-Identifier: MIT
# Written by write_micropython.py from words.toml; change that page, not this file. One string, a line for each code: a
# small heap has no room for as many strings.
_TEXTS = (
    "no error\n"
    "a frame arrived damaged\n"
    "the device does not know message {detail}\n"
    "a request has the wrong length or a field out of range (byte {detail})\n"
    "host and device were built from different contracts\n"
    "the bundle is damaged or not a ttzo bundle (check {detail})\n"
    "the bundle has format {detail}, which this version does not read\n"
    "layer {detail} of the model is inconsistent\n"
    "the model needs arithmetic {detail}, but the device was built for the other one\n"
    "the work buffer is too small: {detail} bytes are needed\n"
    "offset, count or row {detail} lies outside the region\n"
    "the written data do not have the stated checksum\n"
    "the region holds no complete data\n"
    "the device has done {detail} steps, the request is for another\n"
    "a loss, gradient, parameter or moment was not finite at step {detail}; the step was not taken\n"
    "setting {detail} is fixed at export\n"
    "setting {detail} is out of range\n"
    "row {detail} has a class that the model does not have\n"
    "the work was cancelled\n"
    "row {detail} has a token that the model does not have\n"
    "sparse row {detail} is inconsistent\n"
    "the device was built without a part that the model needs (part {detail})\n"
    "the device needs a work buffer of {detail} bytes for this model, the bundle states another size\n"
    "number {detail} of the written region is not finite\n"
    "the device has done {detail} steps and counts no further\n"
    "this build does not compute the contract's bits (check {detail}: 1 rounding mode, 2 subnormal numbers flushed to 0, 3 excess precision, 4 contraction, 5 fmaf)\n"
    "argument {detail} is NULL\n"
    "a buffer does not begin at a multiple of {detail} bytes\n"
    "input or output {detail} of the sample is no number that the model's rows can hold\n"
    "the run could not be saved or loaded: the caller's function failed ({detail} bytes in all)\n"
    "these bytes are not a saved run of {detail} bytes\n"
    "the saved run is of another model\n"
    "the device takes this request only from a holder of its key\n"
    "the device has another key\n"
    "the device does not take this frame: it is of another session, an older one or a forged one\n"
    "the device is in use by process {detail}\n"
    "packed rows hold other bytes than the {detail} that the request states; nothing was written\n"
)


def text(number):
    """The sentence of an error."""
    at = 0
    for _ in range(number):
        at = _TEXTS.find("\n", at) + 1
    return _TEXTS[at : _TEXTS.find("\n", at)]
