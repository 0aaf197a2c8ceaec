/* What the console's panels say: questions, help, messages. Text only. */
#ifndef SDL_DIALOGS_H
#define SDL_DIALOGS_H
#include <stdbool.h>
#include "sdl/panel.h"

enum action {
	ACTION_NOTHING = PANEL_NOTHING,
	ACTION_CANCEL,
	ACTION_LEAVE, /* close the window, the VM runs on */
	ACTION_POWER_BUTTON,
	ACTION_PLUG,
	ACTION_RESET,
};

/* vm: its name. host_key: what it is called. Each opens p. */
void dialog_close(struct panel *p, const char *vm, bool owned, bool running);
void dialog_reset(struct panel *p, const char *vm);
void dialog_help(struct panel *p, const char *host_key);
/* A message: a short title, and a text, which may be long, or NULL. */
void dialog_note(struct panel *p, const char *title, const char *text);
#endif
