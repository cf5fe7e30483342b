// What is wrong with resources that were read without a server, for people and tools.
#pragma once

#include <stdio.h>

#include "app/offline.h"

// One finding.
struct sld_findings_line {
    struct sld_str origin;
    int line, column;
    enum sld_severity severity;
    enum sld_code code;
    struct sld_str object; // "VirtualService gloo-system.default", or absent
    struct sld_str path, message;
};

// Fill LEAST and PLACES of a zeroed one.
struct sld_findings {
    enum sld_severity least;      // what is less is counted alone
    const struct sld_str *places; // sources or paths of documents that are asked about; none: all
    size_t place_count;
    const struct sld_translate *t; // that was read
    struct sld_str unread;         // as of sld_offline
    struct sld_arena arena;
    struct sld_findings_line *lines; // by place
    size_t count, documents, errors, warnings;
    size_t own_errors; // errors that are not of what a document refers to
};

// Gathers what OFF, which stays as it is, has.
void sld_findings_collect(struct sld_findings *r, const struct sld_offline *off);
// "file:line:column: severity code: object: field: words", one a line.
void sld_findings_print(const struct sld_findings *r, FILE *to);
// The lines as a list of objects.
void sld_findings_list_json(const struct sld_findings *r, struct sld_json *j);
// All of it, on stdout.
void sld_findings_print_json(const struct sld_findings *r);
void sld_findings_fini(struct sld_findings *r);
