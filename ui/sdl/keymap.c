/* Scancodes to evdev codes, see keymap.h. SDL's are those of USB's keyboard page (HID Usage Tables
 * 1.12, chapter 10) and of its consumer page from 256 on. */
#include "sdl/keymap.h"
#include <linux/input-event-codes.h>
#include <string.h>

#define S(sdl) [SDL_SCANCODE_##sdl]

static const uint16_t evdev[SDL_NUM_SCANCODES] = {
	S(A) = KEY_A,
	S(B) = KEY_B,
	S(C) = KEY_C,
	S(D) = KEY_D,
	S(E) = KEY_E,
	S(F) = KEY_F,
	S(G) = KEY_G,
	S(H) = KEY_H,
	S(I) = KEY_I,
	S(J) = KEY_J,
	S(K) = KEY_K,
	S(L) = KEY_L,
	S(M) = KEY_M,
	S(N) = KEY_N,
	S(O) = KEY_O,
	S(P) = KEY_P,
	S(Q) = KEY_Q,
	S(R) = KEY_R,
	S(S) = KEY_S,
	S(T) = KEY_T,
	S(U) = KEY_U,
	S(V) = KEY_V,
	S(W) = KEY_W,
	S(X) = KEY_X,
	S(Y) = KEY_Y,
	S(Z) = KEY_Z,
	S(1) = KEY_1,
	S(2) = KEY_2,
	S(3) = KEY_3,
	S(4) = KEY_4,
	S(5) = KEY_5,
	S(6) = KEY_6,
	S(7) = KEY_7,
	S(8) = KEY_8,
	S(9) = KEY_9,
	S(0) = KEY_0,
	S(RETURN) = KEY_ENTER,
	S(ESCAPE) = KEY_ESC,
	S(BACKSPACE) = KEY_BACKSPACE,
	S(TAB) = KEY_TAB,
	S(SPACE) = KEY_SPACE,
	S(MINUS) = KEY_MINUS,
	S(EQUALS) = KEY_EQUAL,
	S(LEFTBRACKET) = KEY_LEFTBRACE,
	S(RIGHTBRACKET) = KEY_RIGHTBRACE,
	S(BACKSLASH) = KEY_BACKSLASH,
	/* The same place of an ISO keyboard, and the same code of a PC's. */
	S(NONUSHASH) = KEY_BACKSLASH,
	S(SEMICOLON) = KEY_SEMICOLON,
	S(APOSTROPHE) = KEY_APOSTROPHE,
	S(GRAVE) = KEY_GRAVE,
	S(COMMA) = KEY_COMMA,
	S(PERIOD) = KEY_DOT,
	S(SLASH) = KEY_SLASH,
	S(CAPSLOCK) = KEY_CAPSLOCK,
	S(F1) = KEY_F1,
	S(F2) = KEY_F2,
	S(F3) = KEY_F3,
	S(F4) = KEY_F4,
	S(F5) = KEY_F5,
	S(F6) = KEY_F6,
	S(F7) = KEY_F7,
	S(F8) = KEY_F8,
	S(F9) = KEY_F9,
	S(F10) = KEY_F10,
	S(F11) = KEY_F11,
	S(F12) = KEY_F12,
	S(PRINTSCREEN) = KEY_SYSRQ,
	S(SCROLLLOCK) = KEY_SCROLLLOCK,
	S(PAUSE) = KEY_PAUSE,
	S(INSERT) = KEY_INSERT,
	S(HOME) = KEY_HOME,
	S(PAGEUP) = KEY_PAGEUP,
	S(DELETE) = KEY_DELETE,
	S(END) = KEY_END,
	S(PAGEDOWN) = KEY_PAGEDOWN,
	S(RIGHT) = KEY_RIGHT,
	S(LEFT) = KEY_LEFT,
	S(DOWN) = KEY_DOWN,
	S(UP) = KEY_UP,
	S(NUMLOCKCLEAR) = KEY_NUMLOCK,
	S(KP_DIVIDE) = KEY_KPSLASH,
	S(KP_MULTIPLY) = KEY_KPASTERISK,
	S(KP_MINUS) = KEY_KPMINUS,
	S(KP_PLUS) = KEY_KPPLUS,
	S(KP_ENTER) = KEY_KPENTER,
	S(KP_1) = KEY_KP1,
	S(KP_2) = KEY_KP2,
	S(KP_3) = KEY_KP3,
	S(KP_4) = KEY_KP4,
	S(KP_5) = KEY_KP5,
	S(KP_6) = KEY_KP6,
	S(KP_7) = KEY_KP7,
	S(KP_8) = KEY_KP8,
	S(KP_9) = KEY_KP9,
	S(KP_0) = KEY_KP0,
	S(KP_PERIOD) = KEY_KPDOT,
	S(NONUSBACKSLASH) = KEY_102ND,
	S(APPLICATION) = KEY_COMPOSE,
	S(POWER) = KEY_POWER,
	S(KP_EQUALS) = KEY_KPEQUAL,
	S(F13) = KEY_F13,
	S(F14) = KEY_F14,
	S(F15) = KEY_F15,
	S(F16) = KEY_F16,
	S(F17) = KEY_F17,
	S(F18) = KEY_F18,
	S(F19) = KEY_F19,
	S(F20) = KEY_F20,
	S(F21) = KEY_F21,
	S(F22) = KEY_F22,
	S(F23) = KEY_F23,
	S(F24) = KEY_F24,
	S(EXECUTE) = KEY_OPEN,
	S(HELP) = KEY_HELP,
	S(MENU) = KEY_MENU,
	S(SELECT) = KEY_SELECT,
	S(STOP) = KEY_STOP,
	S(AGAIN) = KEY_AGAIN,
	S(UNDO) = KEY_UNDO,
	S(CUT) = KEY_CUT,
	S(COPY) = KEY_COPY,
	S(PASTE) = KEY_PASTE,
	S(FIND) = KEY_FIND,
	S(MUTE) = KEY_MUTE,
	S(VOLUMEUP) = KEY_VOLUMEUP,
	S(VOLUMEDOWN) = KEY_VOLUMEDOWN,
	S(KP_COMMA) = KEY_KPCOMMA,
	S(KP_EQUALSAS400) = KEY_KPEQUAL,
	S(INTERNATIONAL1) = KEY_RO,
	S(INTERNATIONAL2) = KEY_KATAKANAHIRAGANA,
	S(INTERNATIONAL3) = KEY_YEN,
	S(INTERNATIONAL4) = KEY_HENKAN,
	S(INTERNATIONAL5) = KEY_MUHENKAN,
	S(INTERNATIONAL6) = KEY_KPJPCOMMA,
	S(LANG1) = KEY_HANGEUL,
	S(LANG2) = KEY_HANJA,
	S(LANG3) = KEY_KATAKANA,
	S(LANG4) = KEY_HIRAGANA,
	S(LANG5) = KEY_ZENKAKUHANKAKU,
	S(ALTERASE) = KEY_ALTERASE,
	S(SYSREQ) = KEY_SYSRQ,
	S(CANCEL) = KEY_CANCEL,
	S(CLEAR) = KEY_CLEAR,
	S(KP_LEFTPAREN) = KEY_KPLEFTPAREN,
	S(KP_RIGHTPAREN) = KEY_KPRIGHTPAREN,
	S(KP_PLUSMINUS) = KEY_KPPLUSMINUS,
	S(LCTRL) = KEY_LEFTCTRL,
	S(LSHIFT) = KEY_LEFTSHIFT,
	S(LALT) = KEY_LEFTALT,
	S(LGUI) = KEY_LEFTMETA,
	S(RCTRL) = KEY_RIGHTCTRL,
	S(RSHIFT) = KEY_RIGHTSHIFT,
	S(RALT) = KEY_RIGHTALT,
	S(RGUI) = KEY_RIGHTMETA,
	/* What X11 calls ISO level 3 shift where a layout has given it a key of its own. */
	S(MODE) = KEY_RIGHTALT,
	S(AUDIONEXT) = KEY_NEXTSONG,
	S(AUDIOPREV) = KEY_PREVIOUSSONG,
	S(AUDIOSTOP) = KEY_STOPCD,
	S(AUDIOPLAY) = KEY_PLAYPAUSE,
	S(AUDIOMUTE) = KEY_MUTE,
	S(MEDIASELECT) = KEY_MEDIA,
	S(WWW) = KEY_WWW,
	S(MAIL) = KEY_MAIL,
	S(CALCULATOR) = KEY_CALC,
	S(COMPUTER) = KEY_COMPUTER,
	S(AC_SEARCH) = KEY_SEARCH,
	S(AC_HOME) = KEY_HOMEPAGE,
	S(AC_BACK) = KEY_BACK,
	S(AC_FORWARD) = KEY_FORWARD,
	S(AC_STOP) = KEY_STOP,
	S(AC_REFRESH) = KEY_REFRESH,
	S(AC_BOOKMARKS) = KEY_BOOKMARKS,
	S(BRIGHTNESSDOWN) = KEY_BRIGHTNESSDOWN,
	S(BRIGHTNESSUP) = KEY_BRIGHTNESSUP,
	S(DISPLAYSWITCH) = KEY_SWITCHVIDEOMODE,
	S(KBDILLUMTOGGLE) = KEY_KBDILLUMTOGGLE,
	S(KBDILLUMDOWN) = KEY_KBDILLUMDOWN,
	S(KBDILLUMUP) = KEY_KBDILLUMUP,
	S(EJECT) = KEY_EJECTCD,
	S(SLEEP) = KEY_SLEEP,
	S(APP1) = KEY_PROG1,
	S(APP2) = KEY_PROG2,
	S(AUDIOREWIND) = KEY_REWIND,
	S(AUDIOFASTFORWARD) = KEY_FASTFORWARD,
	S(CALL) = KEY_PICKUP_PHONE,
	S(ENDCALL) = KEY_HANGUP_PHONE,
};

unsigned keymap_evdev(SDL_Scancode code)
{
	return (unsigned)code < SDL_NUM_SCANCODES ? evdev[code] : 0;
}

/* ---- host keys ---- */

#define N_HOST_KEYS 10

static const struct {
	SDL_Scancode code;
	const char *title;
} host_keys[N_HOST_KEYS] = {
	{ SDL_SCANCODE_RCTRL, "Right Ctrl" },	    { SDL_SCANCODE_LCTRL, "Left Ctrl" },
	{ SDL_SCANCODE_RALT, "Right Alt" },	    { SDL_SCANCODE_RSHIFT, "Right Shift" },
	{ SDL_SCANCODE_LGUI, "Left Super" },	    { SDL_SCANCODE_RGUI, "Right Super" },
	{ SDL_SCANCODE_APPLICATION, "Menu" },	    { SDL_SCANCODE_PAUSE, "Pause" },
	{ SDL_SCANCODE_SCROLLLOCK, "Scroll Lock" }, { SDL_SCANCODE_F12, "F12" },
};

static const char *const host_key_names[N_HOST_KEYS + 1] = {
	"right-ctrl",  "left-ctrl", "right-alt", "right-shift", "left-super",
	"right-super", "menu",	    "pause",	 "scroll-lock", "f12",
};

SDL_Scancode keymap_host_key(const char *name)
{
	for (unsigned i = 0; i < N_HOST_KEYS; i++)
		if (strcmp(host_key_names[i], name) == 0)
			return host_keys[i].code;
	return SDL_SCANCODE_UNKNOWN;
}

const char *keymap_host_key_title(SDL_Scancode code)
{
	for (unsigned i = 0; i < N_HOST_KEYS; i++)
		if (host_keys[i].code == code)
			return host_keys[i].title;
	return "";
}

const char *const *keymap_host_key_names(void)
{
	return host_key_names;
}
