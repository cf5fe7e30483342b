// Digests, authentication codes and AES-GCM, by libcrypto.
#include "codec/crypt.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const struct {
    const char *name;
    size_t bytes;
    const EVP_MD *(*md)(void);
} digests[SLD_DIGEST_COUNT] = {
    [SLD_SHA1] = {"sha1", 20, EVP_sha1},
    [SLD_SHA256] = {"sha256", 32, EVP_sha256},
    [SLD_SHA384] = {"sha384", 48, EVP_sha384},
    [SLD_SHA512] = {"sha512", 64, EVP_sha512},
};

static const unsigned char *bytes_of(struct sld_str s)
{
    return (const unsigned char *)(s.p ? s.p : "");
}

const char *sld_digest_name(enum sld_digest d)
{
    return digests[d].name;
}

size_t sld_digest_bytes(enum sld_digest d)
{
    return digests[d].bytes;
}

void sld_digest(enum sld_digest d, struct sld_str s, unsigned char *out)
{
    unsigned n = 0;
    int ok = EVP_Digest(bytes_of(s), s.n, out, &n, digests[d].md(), NULL);
    SLD_INV(ok == 1 && n == digests[d].bytes);
}

void sld_hmac(enum sld_digest d, struct sld_str key, struct sld_str s, unsigned char *out)
{
    unsigned n = 0;
    SLD_PRE(key.n <= INT32_MAX);
    const unsigned char *ok = HMAC(digests[d].md(), bytes_of(key), (int)key.n, bytes_of(s), s.n, out, &n);
    SLD_INV(ok && n == digests[d].bytes);
}

bool sld_equal_secret(struct sld_str a, struct sld_str b)
{
    return a.n == b.n && CRYPTO_memcmp(bytes_of(a), bytes_of(b), a.n) == 0;
}

// ---- AES-GCM ----

static const EVP_CIPHER *gcm_of(size_t key_bytes)
{
    switch (key_bytes) {
    case 16:
        return EVP_aes_128_gcm();
    case 24:
        return EVP_aes_192_gcm();
    case 32:
        return EVP_aes_256_gcm();
    default:
        return NULL;
    }
}

bool sld_gcm_encrypt(struct sld_str key, const unsigned char *nonce, struct sld_str text, struct sld_str aad, unsigned char *out)
{
    const EVP_CIPHER *cipher = gcm_of(key.n);
    int n = 0, rest = 0;
    if (!cipher)
        return false;
    SLD_PRE(text.n < INT32_MAX && aad.n < INT32_MAX);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok = c && EVP_EncryptInit_ex(c, cipher, NULL, bytes_of(key), nonce) == 1 &&
              (!aad.n || EVP_EncryptUpdate(c, NULL, &n, bytes_of(aad), (int)aad.n) == 1);
    n = 0;
    ok = ok && (!text.n || EVP_EncryptUpdate(c, out, &n, bytes_of(text), (int)text.n) == 1) &&
         EVP_EncryptFinal_ex(c, out + n, &rest) == 1 &&
         EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, SLD_GCM_TAG, out + text.n) == 1;
    EVP_CIPHER_CTX_free(c);
    SLD_INV(ok && (size_t)n + (size_t)rest == text.n);
    return true;
}

bool sld_gcm_decrypt(struct sld_str key, const unsigned char *nonce, struct sld_str data, struct sld_str aad, unsigned char *out)
{
    const EVP_CIPHER *cipher = gcm_of(key.n);
    int n = 0, rest = 0;
    if (!cipher || data.n < SLD_GCM_TAG || data.n > INT32_MAX || aad.n > INT32_MAX)
        return false;
    size_t length = data.n - SLD_GCM_TAG;
    unsigned char tag[SLD_GCM_TAG];
    memcpy(tag, data.p + length, sizeof(tag));
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok = c && EVP_DecryptInit_ex(c, cipher, NULL, bytes_of(key), nonce) == 1 &&
              EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, SLD_GCM_TAG, tag) == 1 &&
              (!aad.n || EVP_DecryptUpdate(c, NULL, &n, bytes_of(aad), (int)aad.n) == 1);
    n = 0;
    ok = ok && (!length || EVP_DecryptUpdate(c, out, &n, bytes_of(data), (int)length) == 1) &&
         EVP_DecryptFinal_ex(c, out + n, &rest) == 1;
    EVP_CIPHER_CTX_free(c);
    if (!ok) {
        sld_wipe(out, length);
        ERR_clear_error();
    }
    return ok;
}
