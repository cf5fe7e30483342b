// codec/x509: facts about certificates, keys and PEM text, by mbedTLS's X.509 and libcrypto.
#pragma once

#include "base/base.h"

struct sld_alt_name {
    const char *type; // "dns", "ip", "uri", "email"
    struct sld_str value;
};

struct sld_cert_facts {
    int64_t not_before, not_after;  // Unix seconds, of the leaf
    struct sld_str subject, issuer; // one-line names
    struct sld_str serial;          // hexadecimal
    struct sld_str *dns_names;      // subject alternative names of type DNS
    size_t dns_name_count;
    struct sld_alt_name *alt_names; // of these four types, in order
    size_t alt_name_count;
    struct sld_str fingerprint; // SHA-256 of the leaf, hexadecimal
    size_t chain_length; // certificates in the chain
    struct sld_str pem;  // the chain re-encoded: text outside the blocks dropped
    struct sld_str key;  // the leaf's key: "RSA", "EC", "ED25519", or another name
    int key_bits;
    struct sld_str curve; // of an EC key: "prime256v1"; else empty
    bool must_staple;     // the leaf demands a stapled OCSP answer (RFC 7633)
};

// Reads a PEM chain, leaf first. SLD_INVALID with words on failure.
SLD_NODISCARD enum sld_rc sld_cert_read(struct sld_arena *a, struct sld_str pem,
                                        struct sld_cert_facts *out, struct sld_err *err);
// Reads PEM trust anchors: every certificate must be readable; facts are those of the first, pem is
// all of them re-encoded, not_after the earliest.
SLD_NODISCARD enum sld_rc sld_ca_read(struct sld_arena *a, struct sld_str pem,
                                      struct sld_cert_facts *out, struct sld_err *err);
// SLD_OK when the PEM private key (RSA, EC or Ed25519, unencrypted) belongs to the chain's leaf;
// SLD_CONFLICT when it does not, SLD_INVALID when it cannot be read.
SLD_NODISCARD enum sld_rc sld_cert_key_match(struct sld_str chain_pem, struct sld_str key_pem,
                                             struct sld_err *err);
// SLD_OK when the DER text is one OCSP answer, about the chain's leaf; SLD_CONFLICT when it is
// about another certificate, SLD_INVALID when it cannot be read or tells of a failure. Its age is
// not looked at.
SLD_NODISCARD enum sld_rc sld_ocsp_check(struct sld_str chain_pem, struct sld_str der,
                                         struct sld_err *err);
