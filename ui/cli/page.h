/* A page of help: as text for a terminal, or as a manual page (troff). On standard output. */
#ifndef CLI_PAGE_H
#define CLI_PAGE_H
#include <stdbool.h>

enum page { PAGE_TEXT, PAGE_MAN };

/* What it begins with. */
void page_begin(enum page form, const char *name, unsigned section, const char *about);
void page_section(enum page form, const char *title);
/* The head of a part of a section. */
void page_part(enum page form, const char *title);
/* A paragraph. */
void page_text(enum page form, const char *text);
/* A name, what stands behind it (may be NULL), and what it means. */
void page_item(enum page form, const char *name, const char *value, const char *text);
#endif
