"""Secret keys against published vectors, and what does not fit them."""

from __future__ import annotations

import pytest
from nacl.public import PublicKey, SealedBox

from roost.control import key_use
from roost.model.errors import BadInput
from roost.model.secret_key import ENCRYPTERS, SIGNERS, KeyType

ALL = sorted(KeyType)
# RFC 4231, test cases 1 and 2
HMACS = [
    (KeyType.HS256, b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (KeyType.HS256, b"Jefe", b"what do ya want for nothing?",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (KeyType.HS384, b"\x0b" * 20, b"Hi There",
     "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6"),
    (KeyType.HS512, b"\x0b" * 20, b"Hi There",
     "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4"
     "be9d914eeb61f1702e696c203a126854"),
    # NaCl's own test of crypto_auth
    (KeyType.NACL_AUTH, b"Jefe" + bytes(28), b"what do ya want for nothing?",
     "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"),
]  # fmt: skip
# RFC 8032, section 7.1, tests 1 to 3: seed, public half, message, signature
ED25519 = [
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
]  # fmt: skip
# RFC 6979, section A.2.5: the curve P-256 with SHA-256
P256 = bytes.fromhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
P256_PUBLIC = (
    "0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
    "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
)
P256_SIGNED = {
    b"sample": "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
    "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
    b"test": "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
    "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
}


@pytest.mark.parametrize(("kind", "key", "message", "expected"), HMACS)
def test_authentication_codes(kind: KeyType, key: bytes, message: bytes, expected: str) -> None:
    assert key_use.sign(kind, key, message).hex() == expected
    assert key_use.verify(kind, key, message, bytes.fromhex(expected))


@pytest.mark.parametrize(("seed", "public", "message", "signature"), ED25519)
def test_ed25519(seed: str, public: str, message: str, signature: str) -> None:
    key = key_use.check(KeyType.NACL_SIGN, bytes.fromhex(seed + public))
    assert key == key_use.check(KeyType.NACL_SIGN, bytes.fromhex(seed)) == bytes.fromhex(seed)
    assert key_use.public_half(KeyType.NACL_SIGN, key).hex() == public
    assert key_use.sign(KeyType.NACL_SIGN, key, bytes.fromhex(message)).hex() == signature
    assert key_use.verify(KeyType.NACL_SIGN, key, bytes.fromhex(message), bytes.fromhex(signature))


@pytest.mark.parametrize("message", sorted(P256_SIGNED))
def test_es256(message: bytes) -> None:
    signature = bytes.fromhex(P256_SIGNED[message])
    assert key_use.public_half(KeyType.ES256, P256).hex().upper() == P256_PUBLIC
    assert key_use.sign(KeyType.ES256, P256, message) == signature
    assert key_use.verify(KeyType.ES256, P256, message, signature)


@pytest.mark.parametrize(
    ("key", "associated", "expected"),  # the two vectors of the specification, C2SP XAES-256-GCM
    [
        (b"\1" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\3" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_xaes256gcm(key: bytes, associated: bytes, expected: str) -> None:
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"
    assert key_use.xaes256gcm(key, nonce, b"XAES-256-GCM", associated).hex() == expected
    sealed = nonce + bytes.fromhex(expected)
    assert key_use.decrypt(KeyType.XAES256GCM, key, sealed, associated) == b"XAES-256-GCM"


def test_secretbox() -> None:
    """NaCl's own test of crypto_secretbox: `secretbox.c`, with the message it shares with `box.c`."""
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    message = bytes.fromhex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01"
        "233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd"
        "4924ca1c60902e52f0a089bc76897040e082f937763848645e0705"
    )
    sealed = bytes.fromhex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c"
        "98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfea"
        "bd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
    )
    assert key_use.decrypt(KeyType.NACL_SECRETBOX, key, nonce + sealed) == message


def test_a_box_is_sealed_with_the_public_half_alone() -> None:
    private = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")  # RFC 7748, section 6.1
    public = key_use.public_half(KeyType.NACL_BOX, private)
    assert public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    sealed = SealedBox(PublicKey(public)).encrypt(b"for it alone")
    assert key_use.decrypt(KeyType.NACL_BOX, private, sealed) == b"for it alone"


@pytest.mark.parametrize("kind", ALL)
def test_fresh_keys_do_what_their_type_does(kind: KeyType) -> None:
    key = key_use.generate(kind)
    assert key_use.check(kind, key) == key
    assert key_use.generate(kind) != key
    assert bool(key_use.public_half(kind, key)) == (kind in (KeyType.ES256, KeyType.NACL_BOX, KeyType.NACL_SIGN))
    for message in (b"", b"a", bytes(10_000)):
        if kind in SIGNERS:
            signature = key_use.sign(kind, key, message)
            assert key_use.verify(kind, key, message, signature)
            for wrong in (signature[:-1], b"", bytes(len(signature)), signature + b"\0"):
                assert not key_use.verify(kind, key, message, wrong)
            assert not key_use.verify(kind, key, message + b"!", signature)
            assert not key_use.verify(kind, key_use.generate(kind), message, signature)
        if kind in ENCRYPTERS:
            sealed = key_use.encrypt(kind, key, message)
            assert key_use.encrypt(kind, key, message) != sealed
            assert key_use.decrypt(kind, key, sealed) == message
            for wrong in (sealed[:-1], b"", sealed + b"\0", bytes(len(sealed))):
                with pytest.raises(BadInput, match="ciphertext"):
                    key_use.decrypt(kind, key, wrong)
            with pytest.raises(BadInput, match="ciphertext"):
                key_use.decrypt(kind, key_use.generate(kind), sealed)


@pytest.mark.parametrize("kind", ALL)
def test_what_a_type_does_not_do_is_refused_by_name(kind: KeyType) -> None:
    key = key_use.generate(kind)
    if kind not in SIGNERS:
        with pytest.raises(BadInput, match=kind):
            key_use.sign(kind, key, b"x")
        with pytest.raises(BadInput, match=kind):
            key_use.verify(kind, key, b"x", b"y")
    if kind not in ENCRYPTERS:
        with pytest.raises(BadInput, match=kind):
            key_use.encrypt(kind, key, b"x")
        with pytest.raises(BadInput, match=kind):
            key_use.decrypt(kind, key, b"x")
    if kind in ENCRYPTERS - {KeyType.XAES256GCM}:
        with pytest.raises(BadInput, match="associated_data"):
            key_use.encrypt(kind, key, b"x", b"with")
    for size in (0, 1, 31, 2000):
        with pytest.raises(BadInput, match="value"):
            key_use.check(kind, bytes(size))


def test_keys_that_are_none() -> None:
    for value in (bytes(32), b"\xff" * 32):
        with pytest.raises(BadInput, match="P-256"):
            key_use.check(KeyType.ES256, value)
    with pytest.raises(BadInput, match="public half"):
        key_use.check(KeyType.NACL_SIGN, bytes(64))
