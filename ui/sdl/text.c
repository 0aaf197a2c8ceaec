/* Text by SDL_ttf, see text.h. */
#include "sdl/text.h"
#include <SDL2/SDL_ttf.h>
#include <unistd.h>
#include "protocol/protocol.h"

struct text {
	TTF_Font *font[TEXT_N_STYLES];
};

static const struct {
	int points;
	bool bold;
} styles[TEXT_N_STYLES] = {
	[TEXT_BODY] = { 14, false },
	[TEXT_BOLD] = { 14, true },
	[TEXT_TITLE] = { 18, true },
};

/* Where distributions have a plain font with most scripts; the first is the one of our package. */
static const struct {
	const char *regular, *bold;
} fonts[] = {
	{ "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
	  "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf" },
	{ "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
	  "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans-Bold.ttf" },
	{ "/usr/share/fonts/TTF/DejaVuSans.ttf", "/usr/share/fonts/TTF/DejaVuSans-Bold.ttf" },
	{ "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
	  "/usr/share/fonts/truetype/liberation/LiberationSans-Bold.ttf" },
};

static bool open_fonts(struct text *t, const char *regular, const char *bold, double scale)
{
	for (int i = 0; i < TEXT_N_STYLES; i++) {
		t->font[i] = TTF_OpenFont(styles[i].bold ? bold : regular,
					  (int)(styles[i].points * scale + 0.5));
		if (!t->font[i])
			return false;
		TTF_SetFontHinting(t->font[i], TTF_HINTING_LIGHT);
	}
	return true;
}

static void close_fonts(struct text *t)
{
	for (int i = 0; i < TEXT_N_STYLES; i++) {
		if (t->font[i])
			TTF_CloseFont(t->font[i]);
		t->font[i] = NULL;
	}
}

struct text *text_create(double scale, GError **error)
{
	struct text *t = g_new0(struct text, 1);

	if (TTF_Init() == 0) {
		for (size_t i = 0; i < G_N_ELEMENTS(fonts); i++) {
			if (access(fonts[i].regular, R_OK) == 0 &&
			    open_fonts(t, fonts[i].regular, fonts[i].bold, scale))
				return t;
			close_fonts(t);
		}
		TTF_Quit();
	}
	g_free(t);
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT,
		    "the console finds no font (apt-get install fonts-dejavu-core)");
	return NULL;
}

void text_destroy(struct text *t)
{
	if (!t)
		return;
	close_fonts(t);
	TTF_Quit();
	g_free(t);
}

int text_line_height(const struct text *t, enum text_style style)
{
	return TTF_FontLineSkip(t->font[style]);
}

int text_width(const struct text *t, enum text_style style, const char *utf8)
{
	int w = 0;

	if (utf8[0] != '\0')
		TTF_SizeUTF8(t->font[style], utf8, &w, NULL);
	return w;
}

void text_draw(const struct text *t, SDL_Surface *to, enum text_style style, const char *utf8,
	       SDL_Color color, int x, int y, int max_width)
{
	SDL_Surface *s = utf8[0] ? TTF_RenderUTF8_Blended(t->font[style], utf8, color) : NULL;
	SDL_Rect from, at = { x, y, 0, 0 };

	if (!s)
		return;
	from = (SDL_Rect){ 0, 0, max_width > 0 && s->w > max_width ? max_width : s->w, s->h };
	SDL_BlitSurface(s, &from, to, &at);
	SDL_FreeSurface(s);
}
