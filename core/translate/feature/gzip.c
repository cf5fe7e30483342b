// gzip: compression of answers.
#include "translate/listener.h"

#include "envoy/extensions/compression/gzip/compressor/v3/gzip.pb-c.h"
#include "envoy/extensions/filters/http/compressor/v3/compressor.pb-c.h"
#include "envoy/type/matcher/v3/string.pb-c.h"

typedef Env__CompressionGzipCompressor__Gzip gzip_msg;

static gzip_msg *library(struct sld_arena *a, const Gloo__Gzip *in)
{
    gzip_msg *out =
        SLD_MSG(a, Env__CompressionGzipCompressor__Gzip, env__compression_gzip_compressor__gzip);
    out->memory_level = in->memory_level;
    out->window_bits = in->window_bits;
    // The enumerations have the same numbers.
    out->compression_strategy =
        (Env__CompressionGzipCompressor__Gzip__CompressionStrategy)in->compression_strategy;
    switch (in->compression_level) {
    case GLOO__GZIP__COMPRESSION_LEVEL__ENUM__BEST:
        out->compression_level =
            ENV__COMPRESSION_GZIP_COMPRESSOR__GZIP__COMPRESSION_LEVEL__BEST_COMPRESSION;
        break;
    case GLOO__GZIP__COMPRESSION_LEVEL__ENUM__SPEED:
        out->compression_level =
            ENV__COMPRESSION_GZIP_COMPRESSOR__GZIP__COMPRESSION_LEVEL__BEST_SPEED;
        break;
    default:
        break;
    }
    return out;
}

static Env__TypeMatcher__StringMatcher *exactly(struct sld_arena *a, char *type)
{
    Env__TypeMatcher__StringMatcher *m =
        SLD_MSG(a, Env__TypeMatcher__StringMatcher, env__type_matcher__string_matcher);
    m->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_EXACT;
    m->exact = type;
    m->ignore_case = true;
    return m;
}

static Env__HttpCompressor__Compressor__ResponseDirectionConfig *answers(struct sld_arena *a,
                                                                         const Gloo__Gzip *in)
{
    Env__HttpCompressor__Compressor__ResponseDirectionConfig *out =
        SLD_MSG(a, Env__HttpCompressor__Compressor__ResponseDirectionConfig,
                env__http_compressor__compressor__response_direction_config);
    out->common_config = SLD_MSG(a, Env__HttpCompressor__Compressor__CommonDirectionConfig,
                                 env__http_compressor__compressor__common_direction_config);
    out->common_config->min_content_length = in->content_length;
    for (size_t i = 0; i < in->n_content_type; i++)
        SLD_PUSH(a, out->common_config->content_type_matcher,
                 out->common_config->n_content_type_matcher, exactly(a, in->content_type[i]));
    out->disable_on_etag_header = in->disable_on_etag_header;
    out->remove_accept_encoding_header = in->remove_accept_encoding_header;
    return out;
}

static void listener(struct tr_listener *l)
{
    if (!l->hcm || !l->http || !l->http->gzip)
        return;
    struct sld_arena *a = l->tr->arena;
    Env__HttpCompressor__Compressor *c =
        SLD_MSG(a, Env__HttpCompressor__Compressor, env__http_compressor__compressor);
    c->compressor_library =
        tr_extension(a, "envoy.compression.gzip.compressor", &library(a, l->http->gzip)->base);
    c->response_direction_config = answers(a, l->http->gzip);
    tr_filter_add(l, SLD_STAGE_FAULT, SLD_DURING, "envoy.filters.http.compressor", &c->base, false);
}

const struct sld_feature sld_feature_gzip = {
    .name = "gzip",
    .help = "Compresses answers.",
    .options = {"HttpListenerOptions.gzip"},
    .listener = listener,
};
