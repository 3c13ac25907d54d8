/* obmalloc: the settings, as PYTHONOBMALLOC has them: key=value,key=value.

   Invalid settings are reported in one line each and ignored.  Nothing here
   allocates. */

#include "obmalloc/settings.h"
#include "obmalloc/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
parse_size(const char *text, size_t *bytes)
{
    char *end;
    if (*text < '0' || *text > '9') {
        return false;
    }
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = 0;
    switch (*end) {
    case 'k': case 'K': shift = 10; end++; break;
    case 'm': case 'M': shift = 20; end++; break;
    case 'g': case 'G': shift = 30; end++; break;
    }
    if (*end != '\0' || value > (SIZE_MAX >> 1) >> shift) {
        return false;
    }
    *bytes = (size_t)value << shift;
    return true;
}

static bool
parse_retain(struct obm_settings *settings, const char *value)
{
    if (strcmp(value, "auto") == 0) {
        settings->retain = OBM_RETAIN_AUTO;
    }
    else if (strcmp(value, "none") == 0) {
        settings->retain = OBM_RETAIN_NONE;
    }
    else if (strcmp(value, "all") == 0) {
        settings->retain = OBM_RETAIN_ALL;
    }
    else if (parse_size(value, &settings->retain_bytes)) {
        settings->retain = OBM_RETAIN_SIZE;
    }
    else {
        return false;
    }
    return true;
}

static bool
parse_hugepages(struct obm_settings *settings, const char *value)
{
    if (strcmp(value, "auto") == 0) {
        settings->hugepages = OBM_HUGE_AUTO;
    }
    else if (strcmp(value, "never") == 0) {
        settings->hugepages = OBM_HUGE_NEVER;
    }
    else if (strcmp(value, "always") == 0) {
        settings->hugepages = OBM_HUGE_ALWAYS;
    }
    else {
        return false;
    }
    return true;
}

/* 0 or 1. */
static bool
parse_switch(bool *on, const char *value)
{
    if ((value[0] != '0' && value[0] != '1') || value[1] != '\0') {
        return false;
    }
    *on = value[0] == '1';
    return true;
}

static bool
parse_background(struct obm_settings *settings, const char *value)
{
    bool on;
    if (strcmp(value, "auto") == 0) {
        settings->background = OBM_BACKGROUND_AUTO;
        return true;
    }
    if (!parse_switch(&on, value)) {
        return false;
    }
    settings->background = on ? OBM_BACKGROUND_ON : OBM_BACKGROUND_OFF;
    return true;
}

static bool
parse_malloc(struct obm_settings *settings, const char *value)
{
    if (strcmp(value, "auto") == 0) {
        settings->system_malloc = OBM_MALLOC_AUTO;
    }
    else if (strcmp(value, "leave") == 0) {
        settings->system_malloc = OBM_MALLOC_LEAVE;
    }
    else if (strcmp(value, "one") == 0) {
        settings->system_malloc = OBM_MALLOC_ONE;
    }
    else {
        return false;
    }
    return true;
}

static bool
parse_medium(struct obm_settings *settings, const char *value)
{
    bool on;
    if (!parse_switch(&on, value)) {
        return false;
    }
    settings->no_medium = !on;
    return true;
}

static bool
parse_secure(struct obm_settings *settings, const char *value)
{
    return parse_switch(&settings->secure, value);
}

static bool
parse_check(struct obm_settings *settings, const char *value)
{
    if (value[0] < '0' || value[0] > '3' || value[1] != '\0') {
        return false;
    }
    settings->check_level = value[0] - '0';
    return true;
}

/* The settings that there are.  A new one needs a row here, and one in the
   table of docs/tuning.md. */
static const struct {
    const char *key;
    bool (*parse)(struct obm_settings *settings, const char *value);
    const char *values;     /* for the warning */
} setting_table[] = {
    {"retain", parse_retain, "auto, none, all, or a size such as 64M"},
    {"hugepages", parse_hugepages, "auto, never or always"},
    {"background", parse_background, "auto, 0 or 1"},
    {"malloc", parse_malloc, "auto, leave or one"},
    {"medium", parse_medium, "0 or 1"},
    {"check", parse_check, "0, 1, 2 or 3"},
    {"secure", parse_secure, "0 or 1"},
};
#define SETTING_COUNT (sizeof(setting_table) / sizeof(setting_table[0]))

/* Why "key=value" was not understood; NULL: it was.  What was cut is shown,
   but never believed: its first part may mean something else. */
static const char *
parse_one(struct obm_settings *settings, char *item, bool cut, char *line, size_t line_size)
{
    char *value = strchr(item, '=');
    if (value != NULL) {
        *value++ = '\0';
    }
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (strcmp(item, setting_table[i].key) != 0) {
            continue;
        }
        if (value != NULL && !cut && setting_table[i].parse(settings, value)) {
            return NULL;
        }
        snprintf(line, line_size, "PYTHONOBMALLOC: %s cannot be '%s%s': it can be %s; "
                 "this is ignored", item, value != NULL ? value : "",
                 cut ? "..." : "", setting_table[i].values);
        return line;
    }
    int length = snprintf(line, line_size, "PYTHONOBMALLOC: unknown setting '%s%s' is ignored; "
                          "there are: ", item, cut ? "..." : "");
    for (size_t i = 0; i < SETTING_COUNT && (size_t)length < line_size; i++) {
        length += snprintf(line + length, line_size - (size_t)length, "%s%s", i == 0 ? "" : ", ",
                           setting_table[i].key);
    }
    return line;
}

void
obm_settings_parse(struct obm_settings *settings, const char *text,
                   void (*complain)(const char *line, void *data), void *data)
{
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        char item[64], line[256];
        size_t copied = length < sizeof(item) - 1 ? length : sizeof(item) - 1;
        for (size_t i = 0; i < copied; i++) {
            item[i] = (unsigned char)text[i] < ' ' ? '?' : text[i];     /* one line */
        }
        item[copied] = '\0';
        const char *problem = copied == 0
                              ? NULL : parse_one(settings, item, copied < length,
                                                 line, sizeof(line));
        if (problem != NULL) {
            complain(problem, data);
        }
        text += length + (text[length] == ',');
    }
    if (settings->secure) {
        settings->hugepages = OBM_HUGE_NEVER;   /* a guard page is a small one */
    }
}

void
obm_settings_from_environment(struct obm_settings *settings, const char *text,
                              void (*complain)(const char *line, void *data), void *data)
{
    if (text != NULL && !obm_has_raised_rights()) {
        obm_settings_parse(settings, text, complain, data);
    }
}
