/* obmalloc: the settings, as PYTHONOBMALLOC has them. */

#ifndef OBM_SETTINGS_H
#define OBM_SETTINGS_H

#include "obmalloc/types.h"

/* Read "key=value,key=value" into settings.  For each key or value that is
   unknown, complain(text of one line, data); its default holds. */
OBM_API void obm_settings_parse(struct obm_settings *settings, const char *text,
                                void (*complain)(const char *line, void *data),
                                void *data);

/* The same for the value of an environment variable; NULL: it is not set.  In a
   set-uid program it counts as not set: the user who starts one does not choose its
   settings. */
OBM_API void obm_settings_from_environment(struct obm_settings *settings, const char *text,
                                           void (*complain)(const char *line, void *data),
                                           void *data);

#endif /* OBM_SETTINGS_H */
