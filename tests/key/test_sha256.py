# SPDX-License-Identifier: MIT
"""SHA-256 and HMAC-SHA-256 of the runtime against published vectors: FIPS 180-4's examples, the lengths around a block
against Python's hashlib, RFC 4231."""

import ctypes
import hashlib
import random

import pytest

CALLS = """
#include "key/sha256.h"
void hash_of(const uint8_t *bytes, uint32_t count, uint32_t piece, uint8_t *out);
void mac_of(const uint8_t *key, uint32_t key_bytes, const uint8_t *bytes, uint32_t count, uint8_t *out);
void hash_of(const uint8_t *bytes, uint32_t count, uint32_t piece, uint8_t *out)
{
    struct ttzo_sha256 hash;
    ttzo_sha256_begin(&hash);
    for (uint32_t at = 0; at < count; at += piece)
        ttzo_sha256_add(&hash, bytes + at, count - at < piece ? count - at : piece);
    ttzo_sha256_end(&hash, out);
}
void mac_of(const uint8_t *key, uint32_t key_bytes, const uint8_t *bytes, uint32_t count, uint8_t *out)
{
    struct ttzo_hmac_key made;
    struct ttzo_sha256 hash;
    ttzo_hmac_key(&made, key, key_bytes);
    ttzo_hmac_begin(&hash, &made);
    ttzo_sha256_add(&hash, bytes, count);
    ttzo_hmac_end(&hash, &made, out);
}
"""

# FIPS 180-4 and its examples (csrc.nist.gov, "SHA256.pdf")
MESSAGES = {
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    b"a" * 1_000_000: "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
}
# RFC 4231, test cases 1 to 4
MACS = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
]


@pytest.fixture(scope="module")
def library(c_library):
    return c_library("key/sha256.c", extra=CALLS)


def digest(library, message: bytes, piece: int = 1 << 20) -> str:
    out = ctypes.create_string_buffer(32)
    library.hash_of(message, len(message), piece, out)
    return out.raw.hex()


@pytest.mark.parametrize("message", MESSAGES, ids=len)
def test_published_messages_have_their_digests(library, message):
    assert digest(library, message) == MESSAGES[message]


@pytest.mark.parametrize("piece", [1, 7, 64, 200])
def test_every_length_around_a_block_hashes_as_hashlib_does(library, piece):
    message = random.Random(1).randbytes(200)
    for count in range(len(message)):
        assert digest(library, message[:count], piece) == hashlib.sha256(message[:count]).hexdigest()


@pytest.mark.parametrize(("key", "message", "mac"), MACS)
def test_published_messages_have_their_macs(library, key, message, mac):
    out = ctypes.create_string_buffer(32)
    library.mac_of(key, len(key), message, len(message), out)
    assert out.raw.hex() == mac
