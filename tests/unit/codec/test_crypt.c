// Digests, codes, encryption and signatures against the vectors of their standards.
#include "support.h"

#include "codec/crypt.h"
#include "codec/text.h"

static struct sld_str unhex(struct fixture *f, const char *text)
{
    size_t n = strlen(text) / 2;
    char *out = sld_arena_alloc(&f->a, n + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(sld_hex_digit(text[2 * i]) << 4 | sld_hex_digit(text[2 * i + 1]));
    return sld_str_n(out, n);
}

static struct sld_str bytes(struct fixture *f, const char *text)
{
    size_t n = 0;
    char *out = sld_arena_alloc(&f->a, strlen(text) + 4);
    if (!text[0])
        return SLD_STR_NONE;
    assert_true(sld_base64_take(out, &n, sld_str_c(text), true));
    return sld_str_n(out, n);
}

static void assert_hex(struct fixture *f, const unsigned char *p, size_t n, const char *text)
{
    struct sld_str hex = sld_hex_encode(&f->a, sld_str_n((const char *)p, n));
    assert_int_equal(hex.n, strlen(text));
    assert_memory_equal(hex.p, text, hex.n);
}

// FIPS 180-4.
static void digests(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum sld_digest d;
        const char *abc;
    } vectors[] = {
        {SLD_SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {SLD_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {SLD_SHA384, "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"},
        {SLD_SHA512, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94f"
                     "a54ca49f"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(vectors); i++) {
        unsigned char out[SLD_DIGEST_MAX];
        sld_digest(vectors[i].d, SLD_STR("abc"), out);
        assert_hex(f, out, sld_digest_bytes(vectors[i].d), vectors[i].abc);
    }
}

// RFC 4231, cases 1, 2 and 6.
static void codes(void **state)
{
    struct fixture *f = *state;
    char key1[20], key6[131];
    memset(key1, 0x0b, sizeof(key1));
    memset(key6, 0xaa, sizeof(key6));
    const struct {
        enum sld_digest d;
        struct sld_str key, data;
        const char *code;
    } vectors[] = {
        {SLD_SHA256, sld_str_n(key1, 20), SLD_STR("Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {SLD_SHA384, sld_str_n(key1, 20), SLD_STR("Hi There"),
         "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6"},
        {SLD_SHA512, sld_str_n(key1, 20), SLD_STR("Hi There"),
         "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"},
        {SLD_SHA256, SLD_STR("Jefe"), SLD_STR("what do ya want for nothing?"),
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {SLD_SHA256, sld_str_n(key6, 131), SLD_STR("Test Using Larger Than Block-Size Key - Hash Key First"),
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {SLD_SHA512, sld_str_n(key6, 131), SLD_STR("Test Using Larger Than Block-Size Key - Hash Key First"),
         "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(vectors); i++) {
        unsigned char out[SLD_DIGEST_MAX];
        sld_hmac(vectors[i].d, vectors[i].key, vectors[i].data, out);
        assert_hex(f, out, sld_digest_bytes(vectors[i].d), vectors[i].code);
    }
    assert_true(sld_equal_secret(SLD_STR("same"), SLD_STR("same")));
    assert_true(sld_equal_secret(SLD_STR_NONE, SLD_STR("")));
    assert_false(sld_equal_secret(SLD_STR("same"), SLD_STR("sama")));
    assert_false(sld_equal_secret(SLD_STR("same"), SLD_STR("same ")));
}

#define GCM_TEXT "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define GCM_AAD "feedfacedeadbeeffeedfacedeadbeefabaddad2"

// Cases 4 and 16 of the specification of GCM (McGrew and Viega), and three of Wycheproof's.
static void gcm(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *key, *nonce, *text, *aad, *data;
    } vectors[] = {
        {"feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", GCM_TEXT, GCM_AAD,
         "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
         "5bc94fbc3221a5db94fae95ae7121a47"},
        {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", GCM_TEXT, GCM_AAD,
         "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
         "76fc6ece0f4e1768cddf8853bb2d551b"},
        {"5b9604fe14eadba931b0ccf34843dab9", "921d2507fa8007b7bd067d34", "001d0c231287c1182784554ca3a21908", "00112233445566778899aabbccddeeff",
         "49d8b9783e911913d87094d1f63cc7651e348ba07cca2cf04c618cb4d43a5b92"},
        {"bedcfb5a011ebc84600fcb296c15af0d", "438a547a94ea88dce46c6c85", "", "", "960247ba5cde02e41a313c4c0136edc3"},
        {"384ea416ac3c2f51a76e7d8226346d4e", "b30c084727ad1c592ac21d12", "35", "", "547c1e4ae88bb27e5638343cb9fd3f6337"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(vectors); i++) {
        struct sld_str key = unhex(f, vectors[i].key), nonce = unhex(f, vectors[i].nonce), text = unhex(f, vectors[i].text);
        struct sld_str aad = unhex(f, vectors[i].aad), data = unhex(f, vectors[i].data);
        const unsigned char *n = (const unsigned char *)nonce.p;
        unsigned char out[200], back[200];
        assert_true(sld_gcm_encrypt(key, n, text, aad, out));
        assert_hex(f, out, text.n + SLD_GCM_TAG, vectors[i].data);
        assert_true(sld_gcm_decrypt(key, n, data, aad, back));
        assert_memory_equal(back, text.p, text.n);
        for (size_t at = 0; at < data.n; at++) { // each byte counts
            unsigned char changed[200];
            memcpy(changed, data.p, data.n);
            changed[at] ^= 1;
            assert_false(sld_gcm_decrypt(key, n, sld_str_n((const char *)changed, data.n), aad, back));
            for (size_t k = 0; k < text.n; k++)
                assert_int_equal(back[k], 0);
        }
        assert_false(sld_gcm_decrypt(key, n, data, SLD_STR("other"), back));
        assert_false(sld_gcm_decrypt(key, n, sld_str_sub(data, 0, SLD_GCM_TAG - 1), aad, back));
        assert_false(sld_gcm_decrypt(sld_str_sub(key, 0, 15), n, data, aad, back));
    }
}

#define RSA_N                                                                                                                              \
    "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6" \
    "XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_" \
    "vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
#define RSA_D                                                                                                                              \
    "bWUC9B-EFRIo8kpGfh0ZuyGPvMNKvYWNtB_ikiH9k20eT-O1q_I78eiZkpXxXQ0UTEs2LsNRS-8uJbvQ-A1irkwMSMkK1J3XTGgdrhCku9gRldY7sNA_AKZGh-Q661_42rINLR" \
    "Ce8W-nZ34ui_qOfkLnK9QWDDqpaIsA-bMwWWSDFu2MUBYwkHTMEzLYGqOe04noqeq1hExBTHBOBdkMXiuFhUq1BU6l-DqEiWxqg82sXt2h-LMnT3046AOYJoRioz75tSUQfGCs" \
    "hWTBnP5uDjd18kKhyv07lhfSJdrPdM5Plyl21hsFf4L_mHCuoFau7gdsPfHPxxjVOcOpBrQzwQ"
#define PAYLOAD                                                                                                                            \
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZW" \
    "VwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
#define P521_X "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt"
#define P521_Y "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1"

static const struct {
    enum sld_jws alg;
    const char *kty, *crv, *n, *x, *y, *d, *k; // base64url; e is 65537
    const char *text, *signature;
} signatures[] = {
    // RFC 7520 4.1 to 4.4.
    {SLD_RS256, "RSA", "", RSA_N, "", "", RSA_D, "", "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." PAYLOAD,
     "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3l"
     "fWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12po"
     "dGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"},
    {SLD_PS384, "RSA", "", RSA_N, "", "", RSA_D, "", "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." PAYLOAD,
     "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-U"
     "D8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jL"
     "AeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"},
    {SLD_ES512, "EC", "P-521", "", P521_X, P521_Y, "AAhRON2r9cqXX1hg-RoI6R1tX5p2rUAYdmpHZoC1XNM56KtscrX6zbKipQrCW9CGZH3T4ubpnoTKLDYJ_fF3_rJt", "",
     "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9." PAYLOAD,
     "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2"
     "puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2"},
    {SLD_HS256, "oct", "", "", "", "", "", "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
     "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9." PAYLOAD, "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0"},
    // RFC 7515 A.3.
    {SLD_ES256, "EC", "P-256", "", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
     "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI", "",
     "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
     "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
    // RFC 8037 A.4.
    {SLD_EDDSA, "OKP", "Ed25519", "", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "", "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "",
     "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
     "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
};

static struct sld_key *key_of(struct fixture *f, size_t i, bool private)
{
    struct sld_jwk j = {.kty = sld_str_c(signatures[i].kty), .crv = sld_str_c(signatures[i].crv), .n = bytes(f, signatures[i].n),
                        .x = bytes(f, signatures[i].x), .y = bytes(f, signatures[i].y), .k = bytes(f, signatures[i].k)};
    struct sld_key *k = NULL;
    struct sld_err err = {0};
    if (j.n.p)
        j.e = bytes(f, "AQAB");
    if (private)
        j.d = bytes(f, signatures[i].d);
    if (sld_key_of_jwk(&j, &k, &err))
        fail_msg("%s: %s", sld_jws_name(signatures[i].alg), err.msg);
    return k;
}

static void signatures_of_the_standards(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < SLD_ARRAY_LEN(signatures); i++) {
        enum sld_jws alg = signatures[i].alg;
        struct sld_str text = sld_str_c(signatures[i].text), sig = bytes(f, signatures[i].signature);
        struct sld_key *public = key_of(f, i, false), *private = key_of(f, i, true);
        unsigned char out[SLD_JWS_MAX];
        size_t n = 0;
        assert_int_equal(sld_key_verify(public, alg, text, sig), SLD_OK);
        assert_int_equal(sld_key_verify(private, alg, text, sig), SLD_OK);
        assert_int_equal(sld_key_verify(public, alg, sld_str_sub(text, 0, text.n - 1), sig), SLD_DENIED);
        assert_int_equal(sld_key_verify(public, alg, text, sld_str_sub(sig, 0, sig.n - 1)), SLD_DENIED);
        assert_int_equal(sld_key_verify(public, alg, text, SLD_STR("")), SLD_DENIED);
        for (size_t at = 0; at < sig.n; at += 7) {
            char changed[SLD_JWS_MAX];
            memcpy(changed, sig.p, sig.n);
            changed[at] ^= 0x10;
            assert_int_equal(sld_key_verify(public, alg, text, sld_str_n(changed, sig.n)), SLD_DENIED);
        }
        assert_true(sld_key_is_private(private));
        assert_int_equal(sld_key_is_private(public), alg == SLD_HS256);
        assert_int_equal(sld_key_sign(private, alg, text, out, &n), SLD_OK);
        if (!sld_jws_is_random(alg))
            assert_true(sld_str_eq(sld_str_n((char *)out, n), sig));
        assert_int_equal(sld_key_verify(public, alg, text, sld_str_n((char *)out, n)), SLD_OK);
        // A key is for the algorithms of its kind alone.
        for (int a = 0; a < SLD_JWS_COUNT; a++) {
            const char *name = sld_jws_name((enum sld_jws)a);
            bool same = name[0] == sld_jws_name(alg)[0] && (name[0] != 'E' || a == (int)alg) && (name[0] != 'H' || a == (int)alg);
            same |= strcmp(signatures[i].kty, "RSA") == 0 && (name[0] == 'R' || name[0] == 'P');
            assert_int_equal(sld_key_fits(public, (enum sld_jws)a), same);
        }
        sld_key_destroy(public);
        sld_key_destroy(private);
    }
    assert_int_equal(sld_jws_find(SLD_STR("none")), SLD_JWS_COUNT);
    assert_int_equal(sld_jws_find(SLD_STR("hs256")), SLD_JWS_COUNT);
    assert_int_equal(sld_jws_find(SLD_STR("EdDSA")), SLD_EDDSA);
}

// Zeroes are no ECDSA signature, though they satisfy broken checks (CVE-2022-21449).
static void zeroes_sign_nothing(void **state)
{
    struct fixture *f = *state;
    static const char zero[132];
    for (size_t i = 0; i < SLD_ARRAY_LEN(signatures); i++) {
        if (strcmp(signatures[i].kty, "EC") != 0)
            continue;
        struct sld_key *k = key_of(f, i, false);
        size_t n = signatures[i].alg == SLD_ES256 ? 64 : 132;
        assert_int_equal(sld_key_verify(k, signatures[i].alg, SLD_STR("x"), sld_str_n(zero, n)), SLD_DENIED);
        sld_key_destroy(k);
    }
}

static void what_is_no_key(void **state)
{
    struct fixture *f = *state;
    struct sld_key *k;
    struct sld_err err;
    struct sld_str x = bytes(f, signatures[4].x), y = bytes(f, signatures[4].y), ed = bytes(f, signatures[5].x), rsa = bytes(f, RSA_N);
    char off[32];
    memcpy(off, y.p, 32);
    off[31] ^= 1;
    const struct sld_jwk bad[] = {
        {.kty = SLD_STR("RSA"), .n = sld_str_sub(rsa, 0, 128), .e = bytes(f, "AQAB")}, // 1024 bits
        {.kty = SLD_STR("RSA"), .n = rsa},
        {.kty = SLD_STR("RSA"), .n = rsa, .e = SLD_STR("")},
        {.kty = SLD_STR("EC"), .crv = SLD_STR("P-256"), .x = x, .y = sld_str_n(off, 32)}, // not on the curve
        {.kty = SLD_STR("EC"), .crv = SLD_STR("P-384"), .x = x, .y = y},
        {.kty = SLD_STR("EC"), .crv = SLD_STR("secp256k1"), .x = x, .y = y},
        {.kty = SLD_STR("EC"), .crv = SLD_STR("P-256"), .x = sld_str_sub(x, 1, 31), .y = y},
        {.kty = SLD_STR("OKP"), .crv = SLD_STR("X25519"), .x = ed},
        {.kty = SLD_STR("OKP"), .crv = SLD_STR("Ed25519"), .x = sld_str_sub(ed, 0, 31)},
        {.kty = SLD_STR("OKP"), .crv = SLD_STR("Ed25519"), .x = ed, .d = x}, // halves of two keys
        {.kty = SLD_STR("oct")},
        {.kty = SLD_STR("oct"), .k = SLD_STR("")},
        {.kty = SLD_STR("DSA")},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        err = (struct sld_err){0};
        if (sld_key_of_jwk(&bad[i], &k, &err) != SLD_INVALID || !err.msg[0])
            fail_msg("number %zu is taken for a key", i);
    }
    static const char *const pems[] = {
        "", "nothing", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(pems); i++)
        assert_int_equal(sld_key_of_pem(sld_str_c(pems[i]), &k, &err), SLD_INVALID);
}

static void strict_base64(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool url, ok;
    } cases[] = {
        {"", false, true},      {"Zg==", false, true}, {"Zm8=", false, true}, {"Zm9v", false, true}, {"Zg", true, true},    {"", true, true},
        {"_-8", true, true},    {"/+8=", false, true}, {"Zg", false, false},  {"Zg=", false, false}, {"Zg==", true, false}, {"Zh==", false, false},
        {"Zm9=", false, false}, {"Zh", true, false},   {"Z", true, false},    {"_-8=", false, false}, {"/+8", true, false}, {"Zm9v\n", false, false},
        {"====", false, false}, {"Zg==Zg==", false, false}, {"Z g=", false, false}, {"=", false, false}, {"===", false, false},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        char out[32];
        size_t n = 0;
        if (sld_base64_take(out, &n, sld_str_c(cases[i].text), cases[i].url) != cases[i].ok)
            fail_msg("'%s' %d", cases[i].text, cases[i].url);
    }
    for (size_t n = 0; n < 40; n++) {
        char data[40], text[64], back[64];
        size_t got = 0;
        for (size_t i = 0; i < n; i++)
            data[i] = (char)(i * 37 + n);
        for (int url = 0; url < 2; url++) {
            size_t length = sld_base64_put(text, sld_str_n(data, n), url);
            assert_true(sld_base64_take(back, &got, sld_str_n(text, length), url));
            assert_int_equal(got, n);
            assert_memory_equal(back, data, n);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(digests, setup, teardown),
        cmocka_unit_test_setup_teardown(codes, setup, teardown),
        cmocka_unit_test_setup_teardown(gcm, setup, teardown),
        cmocka_unit_test_setup_teardown(signatures_of_the_standards, setup, teardown),
        cmocka_unit_test_setup_teardown(zeroes_sign_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_key, setup, teardown),
        cmocka_unit_test(strict_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
