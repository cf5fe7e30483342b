// Digests that names are made of, by libcrypto.
#include "codec/text.h"

#include <openssl/evp.h>

struct sld_str sld_md5_hex(struct sld_arena *a, struct sld_str s)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int ok = EVP_Digest(s.p ? s.p : "", s.n, sum, &n, EVP_md5(), NULL);
    SLD_INV(ok == 1);
    return sld_hex_encode(a, sld_str_n((const char *)sum, n));
}
