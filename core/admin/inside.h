// Private to the room.
//
//   request ─▶ listener ─▶ access ─▶ endpoint ─▶ job ─┬─▶ answered on io ─────────────▶ response
//             (admin.c)   (access.c) (endpoint.c)     ├─▶ parked until the index moves ─┐
//                                                     ├─▶ queue ─▶ model thread ─▶ done ┤
//                                                     └─▶ pool (dumps) ─────────▶ done ─┘
#pragma once

#include "admin/admin.h"
#include "net/http.h"

enum {
    BODY_MAX_BYTES = 64 * 1024 * 1024, // of one answer
    PAGE_BYTES = 1024 * 1024,          // a list ends behind the entry that passes this
    LIMIT_DEFAULT = 500,               // entries of a page
    LIMIT_MAX = 5000,
    DUMP_LIMIT_DEFAULT = 100,
    WAIT_DEFAULT_S = 5 * 60,
    WAIT_MAX_S = 10 * 60,
    PARKED_MAX = 100,                  // requests that wait for news
    AWAY_MAX = 8,                      // queries at the model thread or on the pool at a time
    CONNECTIONS_MAX = 160,             // per listener
    PATIENCE_MS = 30 * 1000,           // how long the model thread may take to answer
    METRICS_PATIENCE_MS = 3 * 1000,
    REQUESTS_PATIENCE_MS = 40 * 1000,
    FILES_LOOK_MS = 30 * 1000,
    TOKEN_FILE_MAX_BYTES = 64 * 1024,
    TOKEN_MIN_BYTES = 16,
    PEM_MAX_BYTES = 1024 * 1024,
    PARAMS_MAX = 12,                   // of one endpoint
    ARGS_MAX = 3,                      // in one path
};

// ---- Answers ---- (answer.c)

enum problem {
    PROBLEM_BAD_PARAMETER,
    PROBLEM_UNKNOWN_PARAMETER,
    PROBLEM_TOKEN,
    PROBLEM_HOST,
    PROBLEM_NO_ENDPOINT,
    PROBLEM_NO_OBJECT,
    PROBLEM_NO_RESOURCE,
    PROBLEM_METHOD,
    PROBLEM_TOO_LARGE,
    PROBLEM_BUSY,
    PROBLEM_STOPPING,
};

struct answer {
    int status;
    const char *type;    // content type
    struct sld_buf body;
    uint64_t index;      // for X-Solder-Index; 0 = none
    const char *extra;   // value of the header that belongs to the status (Allow, WWW-Authenticate,
                         // Retry-After); NULL = none
};
void answer_init(struct answer *out);
void answer_fini(struct answer *out);
// Replaces the answer by a problem document. REMEDY is a sentence.
void answer_problem(struct answer *out, enum problem p, const char *remedy, const char *fmt, ...)
    SLD_PRINTF(4, 5);
// The same with the list of endpoints.
void answer_no_endpoint(struct answer *out, struct sld_str path);
// Begins a JSON object in the body; answer_json_end closes it, or makes it a problem when it grew
// over the ceiling.
void answer_json(struct answer *out, struct sld_json *j);
void answer_json_end(struct answer *out, struct sld_json *j);
// One member of an object.
void put_str(struct sld_json *j, const char *key, struct sld_str v); // left out when absent
void put_c(struct sld_json *j, const char *key, const char *v);      // left out when NULL
void put_int(struct sld_json *j, const char *key, uint64_t v);
void put_bool(struct sld_json *j, const char *key, bool v);
void put_time(struct sld_json *j, const char *key, int64_t wall_ms); // left out when 0

// ---- Endpoints ---- (endpoint.c)

struct call;
struct job;

struct endpoint {
    struct sld_admin_endpoint pub;
    bool open;  // needs no token
    bool watch; // has index and wait
    // One of the three answers. On io:
    void (*io)(struct sld_admin *a, const struct call *c, struct answer *out);
    // On the model thread:
    void (*model)(const struct sld_admin_model *m, const struct call *c, struct answer *out);
    // Begins on io and goes on elsewhere; ends with job_finish:
    void (*start)(struct job *j);
    // On io, with the model's answer, or with an empty one (status 0) when it did not come in time.
    void (*finish)(struct sld_admin *a, struct answer *out);
    uint64_t patience_ms; // 0 = PATIENCE_MS
};

// A request after reading; strings are in the arena.
struct call {
    const struct endpoint *ep;
    struct sld_arena *arena;
    struct sld_str args[ARGS_MAX];     // what stands for <...> in the path
    struct sld_str params[PARAMS_MAX]; // in the order of ep->pub.params; absent = not given
};
// Finds the endpoint of PATH (decoded) and reads QUERY (as it came; may be absent) into C, whose
// arena is set. False: OUT is a problem.
bool endpoint_find(struct call *c, struct sld_str path, struct sld_str query, struct answer *out);
const struct endpoint *endpoint_table(size_t *n);
// Parameter NAME, which the endpoint declares; absent when it was not given.
struct sld_str call_param(const struct call *c, const char *name);
// Parameters of a type. False: OUT is a problem. The value is left alone when it was not given.
bool call_bool(const struct call *c, const char *name, bool *v, struct answer *out);
bool call_u64(const struct call *c, const char *name, uint64_t min, uint64_t max, uint64_t *v,
              struct answer *out);
// SLD_KIND_COUNT is no kind.
bool call_kind(struct sld_str word, enum sld_kind *k, struct answer *out);
// GET /v1
void v1_index(struct sld_admin *a, const struct call *c, struct answer *out);
void v1_kinds(struct sld_admin *a, const struct call *c, struct answer *out);

// ---- Jobs ---- (job.c)

enum job_state {
    JOB_NEW,
    JOB_PARKED, // waits for the index
    JOB_QUEUED, // waits until fewer are away
    JOB_AWAY,   // the model thread or the pool has it: call and answer are theirs
};

struct job {
    struct sld_admin_query query;     // first
    struct sld_admin *admin;          // NULL: gone
    struct sld_list link;             // in parked, queued or away
    enum job_state state;
    // Sends the answer and forgets the client.
    void (*send)(struct job *j, const struct answer *out);
    void *client;                     // for SEND; NULL: it has its answer, or left
    struct sld_timer *timer;
    uint64_t index;                   // parked: until the index is greater
    struct sld_arena arena;
    struct call call;
    struct answer answer;
};

// What a client asks.
struct asked {
    struct sld_str method, path, query;
};
struct job *job_create(struct sld_admin *a, void (*send)(struct job *j, const struct answer *out),
                       void *client);
// Takes the job over and answers sooner or later, unless job_gone is called before.
void job_run(struct job *j, const struct asked *q);
// Answers with what is in j->answer and ends J. For jobs that are not away.
void job_answer(struct job *j);
// The client left.
void job_gone(struct job *j);
// A job that was away is back.
void job_finish(struct job *j);
// Wakes parked jobs.
void jobs_wake(struct sld_admin *a);
// No client is there any more.
void jobs_abandon(struct sld_admin *a);

// ---- The admin ---- (admin.c)

struct sld_admin {
    struct sld_admin_options opt;
    struct sld_list listeners;
    struct sld_timer *files_timer;    // looks at certificate files
    struct sld_list parked, queued, away;
    size_t parked_count, away_count;
    uint64_t index;
    uint64_t noise;                   // for jitter
    struct {
        uint64_t generation;
        uint64_t count, computed, cut;
        int64_t last_ms;
        uint64_t buckets[12];         // by round_bounds
        double seconds;
    } rounds;
    struct {
        uint64_t since_ns;            // mono: when the oldest change not acknowledged by all came; 0 = none
        uint64_t not_before_ns;       // the next look
        struct sld_timer *timer;
        uint64_t buckets[12];
        double seconds;
    } converge;
    uint64_t requests[6];             // by first digit of the status
    struct sld_buf model_metrics;     // as last answered
    int64_t start_ms;
};
#define ROUND_BUCKETS 12
extern const double round_bounds[ROUND_BUCKETS];

// ---- Access ---- (access.c, token.c)

// The tokens of a file.
struct tokens {
    char *path;     // NULL: none are asked for
    struct sld_str text; // what the file says, owned
    int64_t mtime_ns, size;
    uint64_t inode;
    struct sld_log_gate gate;
};
SLD_NODISCARD enum sld_rc tokens_open(struct tokens *t, struct sld_str path, struct sld_err *err);
void tokens_close(struct tokens *t);
// Whether AUTHORIZATION ("Bearer ...") is good. Looks at the file again when it changed; a file that
// cannot be read lets nobody in.
bool tokens_match(struct tokens *t, struct sld_str authorization);

struct listener {
    struct sld_list link;
    struct sld_admin *admin;
    struct sld_http_server *server;
    bool is_unix, loopback;
    struct sld_str host;         // of the address, without brackets; owned
    struct tokens tokens;
    char *cert_file, *key_file, *client_ca_file; // NULL = none
    struct sld_hash pem_hash;    // of the files in use
    struct sld_log_gate gate;
};
// Where ADDRESS is: fills is_unix, loopback and host (a slice of ADDRESS).
SLD_NODISCARD enum sld_rc access_address(struct sld_str address, struct listener *out,
                                         struct sld_err *err);
// Whether a request with this Host header may be answered by L.
bool access_host(const struct listener *l, struct sld_str host);
// The whole of a small file, in A.
SLD_NODISCARD enum sld_rc access_read_file(struct sld_arena *a, struct sld_str path, size_t max,
                                           struct sld_str *out, struct sld_err *err);

// ---- What endpoints need of each other ----

// Writes one finding as a JSON object. ID: the object it is about, or NULL. (finding.c)
void finding_put(struct sld_json *j, const struct sld_finding *f, const struct sld_ident *id);
// The findings of S with places, in A. (finding.c)
struct sld_finding *findings_located(struct sld_arena *a, const struct sld_raw *raw,
                                     const struct sld_status *s);
// The document that object KEY comes from, for places; NULL when there is none. (object.c)
const struct sld_raw *object_raw(const struct sld_admin_model *m, const struct sld_object *o,
                                 struct sld_str key);
// O in Kubernetes' form with its status (S may be NULL), secrets as ***. NULL: it is too large.
// (resource.c)
// SCAN: also look for the proxies of a route table, which costs a look at every virtual host.
struct sld_node *resource_tree(struct sld_arena *a, const struct sld_admin_model *m,
                               const struct sld_object *o, const struct sld_status *s, bool scan);

void v1_objects(const struct sld_admin_model *m, const struct call *c, struct answer *out);
void v1_object(const struct sld_admin_model *m, const struct call *c, struct answer *out);
void v1_findings(const struct sld_admin_model *m, const struct call *c, struct answer *out);
// plugin.c
void v1_plugin(const struct sld_admin_model *m, const struct call *c, struct answer *out);
void v1_plugins(const struct sld_admin_model *m, const struct call *c, struct answer *out);
void metrics_plugins(struct sld_buf *b, const struct sld_admin_model *m);
void v1_graph(const struct sld_admin_model *m, const struct call *c, struct answer *out);
void v1_explain(const struct sld_admin_model *m, const struct call *c, struct answer *out);
void v1_views(const struct sld_admin_model *m, const struct call *c, struct answer *out);
void v1_envoys(struct sld_admin *a, const struct call *c, struct answer *out);
void v1_sources(struct sld_admin *a, const struct call *c, struct answer *out);
void v1_secrets(struct sld_admin *a, const struct call *c, struct answer *out);
// Unix time at which the certificate of the secret of KEY expires; 0: it has none. (counts.c)
int64_t secret_expiry(const struct sld_admin_model *m, struct sld_str key);
void v1_xds(struct job *j);
void v1_requests(struct job *j); // record.c
void health_live(struct sld_admin *a, const struct call *c, struct answer *out);
void health_ready(struct sld_admin *a, const struct call *c, struct answer *out);
void health_check(struct sld_admin *a, const struct call *c, struct answer *out);

// ---- Metrics ---- (metric.c, counts.c, process.c, converge.c)

void metrics_model(const struct sld_admin_model *m, const struct call *c, struct answer *out);
void metrics_finish(struct sld_admin *a, struct answer *out);
void metrics_process(struct sld_buf *b, int64_t start_ms);

// A family of metrics: HELP and TYPE ("counter", "gauge").
void metric_family(struct sld_buf *b, const char *name, const char *type, const char *help);
// One sample. Labels: N pairs of name and value.
struct metric_label {
    const char *name;
    struct sld_str value;
};
void metric_put(struct sld_buf *b, const char *name, const struct metric_label *labels, size_t n,
                double v);
// A family with one sample without labels.
void metric_one(struct sld_buf *b, const char *name, const char *type, double v, const char *help);
// Counts per bucket, not cumulative; the last bound is +Inf.
void metric_histogram(struct sld_buf *b, const char *name, const char *help, const double *bounds,
                      const uint64_t *counts, size_t n, double sum);

void converge_round(struct sld_admin *a, const struct sld_admin_round *r);
void converge_look(struct sld_admin *a);
void histogram_add(uint64_t *buckets, double *sum, double seconds);
