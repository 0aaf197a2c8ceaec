/* A screen's picture as PNG, see screen.h. */
#include "cli/screen.h"
#include <poll.h>
#include <png.h>
#include "cli/newfile.h"
#include "client/display.h"
#include "protocol/protocol.h"

#define PATIENCE_MS 10000 /* with a VM that draws on and on */

/* ---- PNG ---- */

static void png_put(png_structp png, png_bytep data, png_size_t n)
{
	g_byte_array_append(png_get_io_ptr(png), data, (guint)n);
}

static void png_flush_nothing(png_structp png)
{
	(void)png;
}

/* Everything that may jump back is in here, and nothing of it is needed afterwards. */
static bool encode(png_structp png, png_infop info, const struct ui_picture *p, png_bytep row)
{
	if (setjmp(png_jmpbuf(png)))
		return false;
	png_set_IHDR(png, info, p->width, p->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
		     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	/* Pixels per unit: the wider a pixel, the fewer. */
	png_set_pHYs(png, info, p->aspect_y, p->aspect_x, PNG_RESOLUTION_UNKNOWN);
	png_write_info(png, info);
	for (uint32_t y = 0; y < p->height; y++) {
		const uint32_t *from = p->pixels + (size_t)y * p->width;
		for (uint32_t x = 0; x < p->width; x++) {
			row[3 * x] = (png_byte)(from[x] >> 16);
			row[3 * x + 1] = (png_byte)(from[x] >> 8);
			row[3 * x + 2] = (png_byte)from[x];
		}
		png_write_row(png, row);
	}
	png_write_end(png, info);
	return true;
}

static GByteArray *to_png(const struct ui_picture *p, GError **error)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	g_autofree png_bytep row = g_malloc((gsize)p->width * 3);
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png ? png_create_info_struct(png) : NULL;
	bool good = false;

	if (info) {
		png_set_write_fn(png, out, png_put, png_flush_nothing);
		good = encode(png, info, p, row);
	}
	png_destroy_write_struct(&png, &info);
	if (good)
		return g_steal_pointer(&out);
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED, "the picture cannot be written as PNG");
	return NULL;
}

/* ---- the picture ---- */

static bool whole_picture(struct ui_display *d, uint64_t timeout_ms, struct ui_picture *ret,
			  GError **error)
{
	const gint64 end = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
	bool torn = false;

	while (g_get_monotonic_time() < end) {
		struct pollfd p = { .fd = ui_display_wake_fd(d), .events = POLLIN };
		const enum ui_frame r = ui_display_read(d, ret);

		if (r == UI_FRAME_NEW && !ret->torn)
			return true;
		torn |= r == UI_FRAME_NEW;
		if (r == UI_FRAME_BAD || r == UI_FRAME_ENDED) {
			g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED,
				    r == UI_FRAME_BAD ? "the VM's frame makes no sense"
						      : "the VM ended before its screen was seen");
			return false;
		}
		poll(&p, 1, 5);
	}
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_TIMEOUT, "the VM %s",
		    torn ? "draws too fast for a whole picture" : "is too busy to draw its screen");
	return false;
}

static void describe(const struct ui_picture *p, const char *path, GString *json)
{
	g_string_append(json, "{\"file\":");
	lodge_json_string(json, path);
	g_string_append_printf(json, ",\"width\":%u,\"height\":%u,\"pixel-aspect\":[%u,%u]}",
			       p->width, p->height, p->aspect_x, p->aspect_y);
}

bool screen_save(struct ui_vm *vm, const char *path, uint64_t timeout_ms, GString *json,
		 GError **error)
{
	g_autoptr(GByteArray) png = NULL;
	struct ui_display *d = ui_display_open(vm, 0, error);
	struct ui_picture p;
	bool good;

	if (!d)
		return false;
	good = whole_picture(d, timeout_ms ? timeout_ms : PATIENCE_MS, &p, error);
	if (good)
		png = to_png(&p, error);
	good = png && new_file_write(path, png->data, png->len, error);
	if (good && json)
		describe(&p, path, json);
	ui_display_close(d);
	return good;
}
