// net/place: where a server is reached, and as whom, for those who ask it on behalf of others.
#pragma once

#include "net/http.h"

// Absent strings: not given.
struct sld_http_place {
    struct sld_str base; // "http://127.0.0.1:8500"
    struct sld_str unix_socket, ca_file, ca_path, cert_file, key_file, server_name;
    bool insecure;
    struct sld_str token_header, token;
    struct sld_str token_file;     // to be read at each question, where there is no TOKEN
    struct sld_http_header header; // one more; its name absent: none
    struct sld_str params;         // of each question: "dc=a&ns=b"
};
