/* Code page 437, the PC's character set, as its screen shows it. */
#ifndef VM_CP437_H
#define VM_CP437_H
#include <glib.h>
#include <stdint.h>

/* The Unicode character of a code: control codes are glyphs, too; 0 and 255 are blanks. */
gunichar cp437_char(uint8_t code);
/* n codes as UTF-8 without trailing blanks; freed with g_free(). */
char *cp437_line(const uint8_t *codes, unsigned n);
#endif
