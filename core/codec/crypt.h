// codec/crypt: digests, authentication codes, keys and signatures of JOSE, AES-GCM; by libcrypto. Any thread.
#pragma once

#include "base/base.h"

// ---- Digests ----

enum sld_digest { SLD_SHA1, SLD_SHA256, SLD_SHA384, SLD_SHA512, SLD_DIGEST_COUNT };
enum { SLD_DIGEST_MAX = 64 };

// "sha256".
const char *sld_digest_name(enum sld_digest d);
// Bytes of a digest.
size_t sld_digest_bytes(enum sld_digest d);
// Writes the digest of S, sld_digest_bytes, to OUT.
void sld_digest(enum sld_digest d, struct sld_str s, unsigned char *out);
// The same of HMAC (RFC 2104) with KEY.
void sld_hmac(enum sld_digest d, struct sld_str key, struct sld_str s, unsigned char *out);
// Whether A and B are the same bytes, in a time that depends on their lengths alone.
bool sld_equal_secret(struct sld_str a, struct sld_str b);

// ---- AES-GCM ----

enum { SLD_GCM_NONCE = 12, SLD_GCM_TAG = 16 };

// Encrypts TEXT with KEY of 16, 24 or 32 bytes and the nonce of SLD_GCM_NONCE bytes, that is never used twice with one
// key: OUT takes TEXT.n bytes and then the tag. AAD is authenticated with it. False when the key has another length.
bool sld_gcm_encrypt(struct sld_str key, const unsigned char *nonce, struct sld_str text, struct sld_str aad, unsigned char *out);
// The way back: DATA is what encrypt wrote, OUT takes DATA.n less the tag. False when key, nonce, data and AAD do not
// belong together; OUT is zeroed then.
bool sld_gcm_decrypt(struct sld_str key, const unsigned char *nonce, struct sld_str data, struct sld_str aad, unsigned char *out);

// ---- Signatures as JOSE has them (RFC 7518, RFC 8037) ----

enum sld_jws {
    SLD_ES256, SLD_ES384, SLD_ES512, SLD_EDDSA, SLD_HS256, SLD_HS384, SLD_HS512,
    SLD_PS256, SLD_PS384, SLD_PS512, SLD_RS256, SLD_RS384, SLD_RS512, SLD_JWS_COUNT
};
enum { SLD_JWS_MAX = 1024 }; // bytes of a signature

// "RS256"; SLD_JWS_COUNT for a name that is none ("none" too).
const char *sld_jws_name(enum sld_jws alg);
enum sld_jws sld_jws_find(struct sld_str name);
// Whether two signatures of one text differ.
bool sld_jws_is_random(enum sld_jws alg);

// The members of a JSON Web Key, as bytes; absent where there is none.
struct sld_jwk {
    struct sld_str kty, crv;               // text
    struct sld_str n, e, d, p, q, dp, dq, qi; // RSA; D also of EC and OKP
    struct sld_str x, y, k;
};

// A key that signs or verifies. Immutable; destroy with sld_key_destroy.
struct sld_key;

// SLD_INVALID with words: a kind that is not known, numbers that are no key, RSA below 2048 bits.
SLD_NODISCARD enum sld_rc sld_key_of_jwk(const struct sld_jwk *jwk, struct sld_key **out, struct sld_err *err);
// A public key, a certificate or a private key in PEM form.
SLD_NODISCARD enum sld_rc sld_key_of_pem(struct sld_str pem, struct sld_key **out, struct sld_err *err);
void sld_key_destroy(struct sld_key *k);
// Whether K is of the one kind, curve and length that ALG is for.
bool sld_key_fits(const struct sld_key *k, enum sld_jws alg);
// Whether K can sign.
bool sld_key_is_private(const struct sld_key *k);
// SLD_OK when SIGNATURE is one of TEXT; SLD_DENIED. K fits ALG.
SLD_NODISCARD enum sld_rc sld_key_verify(const struct sld_key *k, enum sld_jws alg, struct sld_str text, struct sld_str signature);
// Signs TEXT: at most SLD_JWS_MAX bytes to OUT, how many to *N. K fits ALG, and is private.
SLD_NODISCARD enum sld_rc sld_key_sign(const struct sld_key *k, enum sld_jws alg, struct sld_str text, unsigned char *out, size_t *n);
