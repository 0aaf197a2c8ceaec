/* ui/client/display: a viewer's copy follows the frame, and no frame makes it read elsewhere. */
#include "ctest.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "client/display.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* The VM's side, as good or as bad as a test wants it. */
static struct {
	int fd, wake;
	struct frame_header *h;
	uint32_t *pixels;
} vm;
static struct ui_display *viewer;
static struct ui_picture pic;

static int make_frame(uint64_t bytes, int seals)
{
	const int fd = memfd_create("test-frame", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void mode(uint32_t width, uint32_t height)
{
	vm.h->width = width;
	vm.h->height = height;
	vm.h->stride = width * 4;
	vm.h->mode_changes++;
}

static int setup(void **state)
{
	int pair[2];

	(void)state;
	vm.fd = make_frame(FRAME_BYTES, SEALS);
	/* What lies behind the mapping is no memory: who reads there ends. */
	vm.h = mmap(NULL, FRAME_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vm.fd, 0);
	assert_true(vm.h != MAP_FAILED);
	vm.pixels = (uint32_t *)(void *)((char *)vm.h + FRAME_PIXELS_OFF);
	vm.h->magic = FRAME_MAGIC;
	vm.h->aspect_x = vm.h->aspect_y = 1;
	mode(8, 4);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	vm.wake = pair[0];
	viewer = ui_display_map(dup(vm.fd), pair[1], NULL);
	assert_non_null(viewer);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ui_display_close(viewer);
	munmap(vm.h, FRAME_BYTES);
	close(vm.fd);
	close(vm.wake);
	return 0;
}

static struct frame_draw *begin(void)
{
	const uint64_t next = vm.h->sequence + 2;
	struct frame_draw *d = &vm.h->draw[next / 2 % FRAME_DRAWS];

	vm.h->sequence++;
	*d = (struct frame_draw){ .sequence = next };
	return d;
}

static void end(void)
{
	vm.h->sequence++;
	assert_int_equal(send(vm.wake, "", 1, MSG_DONTWAIT), 1);
}

static void fill(uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint32_t v)
{
	for (uint32_t k = y; k < y + height; k++)
		for (uint32_t i = x; i < x + width; i++)
			vm.pixels[(size_t)k * vm.h->width + i] = v;
}

static void add(struct frame_draw *d, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	d->rect[d->n_rects++] = (struct frame_rect){ x, y, width, height };
}

static void draw(uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint32_t v)
{
	struct frame_draw *d = begin();

	fill(x, y, width, height, v);
	add(d, x, y, width, height);
	end();
}

static void draw_all(uint32_t v)
{
	draw(0, 0, vm.h->width, vm.h->height, v);
}

static void assert_rect(unsigned i, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	assert_true(i < pic.n_rects);
	assert_int_equal(pic.rect[i].x, x);
	assert_int_equal(pic.rect[i].y, y);
	assert_int_equal(pic.rect[i].width, width);
	assert_int_equal(pic.rect[i].height, height);
}

static void assert_copy_is_frame(void)
{
	assert_int_equal(pic.width, vm.h->width);
	assert_int_equal(pic.height, vm.h->height);
	assert_memory_equal(pic.pixels, vm.pixels, (size_t)pic.width * pic.height * 4);
}

static void assert_new(void)
{
	assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_NEW);
	assert_false(pic.torn);
	assert_copy_is_frame();
}

/* ---- a good frame ---- */

static void test_follows(void **state)
{
	(void)state;
	assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_LATER); /* nothing drawn yet */
	draw_all(0x112233);
	assert_new();
	assert_true(pic.mode_changed);
	assert_int_equal(pic.n_rects, 1);
	assert_rect(0, 0, 0, 8, 4);
	assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_SAME);
	draw(2, 1, 3, 2, 0xff0000);
	draw(0, 3, 1, 1, 0x0000ff);
	assert_new();
	assert_false(pic.mode_changed);
	assert_int_equal(pic.n_rects, 2);
	assert_rect(0, 2, 1, 3, 2);
	assert_rect(1, 0, 3, 1, 1);
}

/* Only what the list names is copied: else the list would not be what it is judged by. */
static void test_copies_the_damage_alone(void **state)
{
	(void)state;
	draw_all(1);
	assert_new();
	fill(7, 3, 1, 1, 99);
	draw(0, 0, 2, 2, 2);
	assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_NEW);
	assert_int_equal(pic.pixels[0], 2);
	assert_int_equal(pic.pixels[3 * 8 + 7], 1);
}

static void test_mode_change(void **state)
{
	(void)state;
	draw_all(1);
	assert_new();
	struct frame_draw *d = begin();
	mode(FRAME_MAX_WIDTH, FRAME_MAX_HEIGHT);
	vm.h->flags = FRAME_BLANK;
	fill(0, 0, 20, 20, 7);
	add(d, 0, 0, FRAME_MAX_WIDTH, FRAME_MAX_HEIGHT);
	end();
	assert_new();
	assert_true(pic.mode_changed && pic.blank);
	/* there and back between two reads, with rects that are outside now */
	d = begin();
	mode(FRAME_MAX_WIDTH, 100);
	add(d, 0, 0, FRAME_MAX_WIDTH, 100);
	end();
	draw(4000, 90, 96, 10, 3);
	d = begin();
	mode(8, 4);
	vm.h->flags = 0;
	fill(0, 0, 8, 4, 5);
	add(d, 0, 0, 8, 4);
	end();
	assert_new();
	assert_true(pic.mode_changed && !pic.blank);
	assert_int_equal(pic.n_rects, 1);
	assert_rect(0, 0, 0, 8, 4);
}

static void test_same_size_after_another(void **state)
{
	(void)state;
	draw_all(1);
	assert_new();
	struct frame_draw *d = begin();
	mode(4, 4);
	add(d, 0, 0, 4, 4);
	end();
	d = begin();
	mode(8, 4);
	fill(0, 0, 8, 4, 9);
	add(d, 0, 0, 8, 4);
	end();
	draw(0, 0, 1, 1, 4);
	assert_new();
	assert_true(pic.mode_changed);
	assert_int_equal(pic.n_rects, 1);
}

/* More draws than the list remembers, and more rects than are told. */
static void test_far_behind(void **state)
{
	(void)state;
	draw_all(1);
	assert_new();
	for (uint32_t i = 0; i < FRAME_DRAWS; i++)
		draw(i % 8, i / 8, 1, 1, 100 + i);
	assert_new();
	assert_int_equal(pic.n_rects, FRAME_DRAWS);
	for (uint32_t i = 0; i < FRAME_DRAWS + 1; i++)
		draw(i % 8, i / 8, 1, 1, 200 + i);
	assert_new();
	assert_int_equal(pic.n_rects, 1);
	assert_rect(0, 0, 0, 8, 4);
	for (unsigned k = 0; k < 3; k++) {
		struct frame_draw *d = begin();
		for (uint32_t i = 0; i < FRAME_MAX_RECTS; i++) {
			fill(i % 4, i / 4, 1, 1, 300 + k);
			add(d, i % 4, i / 4, 1, 1);
		}
		end();
	}
	assert_new();
	assert_true(pic.n_rects <= UI_MAX_RECTS);
	for (uint32_t i = 0; i < 16; i++) {
		bool in = false;
		for (unsigned k = 0; k < pic.n_rects; k++)
			in |= i % 4 >= pic.rect[k].x && i / 4 >= pic.rect[k].y &&
			      i % 4 < pic.rect[k].x + pic.rect[k].width &&
			      i / 4 < pic.rect[k].y + pic.rect[k].height;
		assert_true(in);
	}
}

static void test_draw_under_way(void **state)
{
	(void)state;
	draw_all(1);
	assert_new();
	struct frame_draw *d = begin();
	assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_LATER);
	vm.h->sequence--; /* it changed nothing */
	assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_SAME);
	d = begin();
	fill(1, 1, 1, 1, 5);
	add(d, 1, 1, 1, 1);
	assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_LATER);
	end();
	assert_new();
	assert_rect(0, 1, 1, 1, 1);
}

static void test_ended(void **state)
{
	(void)state;
	draw_all(1);
	shutdown(vm.wake, SHUT_RDWR);
	assert_new();
	assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_ENDED);
	assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_ENDED);
}

/* ---- a bad one ---- */

/* Who sends wake-ups without end does not keep the viewer from anything else. */
static void test_flooded(void **state)
{
	static char flood[65536];
	int left = 0;

	(void)state;
	assert_int_equal(send(vm.wake, flood, sizeof(flood), MSG_DONTWAIT), sizeof(flood));
	draw_all(1);
	assert_new();
	assert_int_equal(ioctl(ui_display_wake_fd(viewer), FIONREAD, &left), 0);
	assert_in_range(left, 1, sizeof(flood));
	for (unsigned i = 0; i < 100 && left > 0; i++) {
		assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_SAME);
		assert_int_equal(ioctl(ui_display_wake_fd(viewer), FIONREAD, &left), 0);
	}
	assert_int_equal(left, 0);
}

static void test_refused(void **state)
{
	g_autoptr(GError) error = NULL;

	(void)state;
	assert_null(ui_display_map(make_frame(FRAME_BYTES, F_SEAL_GROW), dup(vm.wake), &error));
	assert_non_null(strstr(error->message, "sealed"));
	g_clear_error(&error);
	assert_null(ui_display_map(make_frame(FRAME_BYTES - 4096, SEALS), dup(vm.wake), &error));
	assert_non_null(strstr(error->message, "small"));
	g_clear_error(&error);
	assert_null(ui_display_map(dup(vm.wake), dup(vm.wake), &error));
	assert_non_null(error);
}

/* Each number wrong by itself: refused for good, whatever comes later. */
static void test_header_out_of_range(void **state)
{
	static const struct {
		size_t off;
		uint32_t value;
	} bad[] = {
		{ offsetof(struct frame_header, magic), 1 },
		{ offsetof(struct frame_header, width), 0 },
		{ offsetof(struct frame_header, width), 9 }, /* not the stride's */
		{ offsetof(struct frame_header, width), FRAME_MAX_WIDTH + 1 },
		{ offsetof(struct frame_header, width), 0x40000002 }, /* stride 8 in 32 bits */
		{ offsetof(struct frame_header, height), 0 },
		{ offsetof(struct frame_header, height), FRAME_MAX_HEIGHT + 1 },
		{ offsetof(struct frame_header, height), UINT32_MAX },
		{ offsetof(struct frame_header, stride), 0 },
		{ offsetof(struct frame_header, aspect_x), 0 },
		{ offsetof(struct frame_header, aspect_y), 65536 },
	};

	(void)state;
	for (size_t i = 0; i < HV_ARRAY_LEN(bad); i++) {
		teardown(NULL);
		setup(NULL);
		draw_all(1);
		assert_new();
		begin();
		memcpy((char *)vm.h + bad[i].off, &bad[i].value, 4);
		if (bad[i].value == 0x40000002)
			vm.h->stride = 8;
		else if (bad[i].value == FRAME_MAX_WIDTH + 1)
			vm.h->stride = (FRAME_MAX_WIDTH + 1) * 4;
		end();
		assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_BAD);
		assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_BAD);
	}
}

/* A damage list that lies costs a copy of everything. */
static void test_bad_damage(void **state)
{
	static const struct frame_rect bad[] = {
		{ 0, 0, 9, 1 },		 { 0, 0, 1, 5 },	  { 8, 0, 1, 1 },
		{ 0, 4, 1, 1 },		 { 1, 0, UINT32_MAX, 1 }, { 0, 1, 1, UINT32_MAX },
		{ UINT32_MAX, 0, 2, 1 }, { 0, UINT32_MAX, 1, 2 }, { 1, 1, 0, 1 },
		{ 1, 1, 1, 0 },
	};

	(void)state;
	draw_all(1);
	assert_new();
	for (size_t i = 0; i < HV_ARRAY_LEN(bad); i++) {
		struct frame_draw *d = begin();
		d->rect[d->n_rects++] = bad[i];
		fill(0, 0, 8, 4, (uint32_t)i + 7);
		end();
		assert_new();
		assert_int_equal(pic.n_rects, 1);
		assert_rect(0, 0, 0, 8, 4);
	}
	struct frame_draw *d = begin();
	for (unsigned i = 0; i < FRAME_MAX_RECTS; i++)
		add(d, 0, 0, 1, 1);
	d->n_rects = FRAME_MAX_RECTS + 1;
	d[1] = (struct frame_draw){ .sequence = 1, .n_rects = 1, .reserved = 1 }; /* a rect, too */
	end();
	assert_new();
	assert_int_equal(pic.n_rects, 1);
	assert_rect(0, 0, 0, 8, 4);
	d = begin();
	d->sequence = 4; /* of a draw long ago */
	end();
	assert_new();
	assert_rect(0, 0, 0, 8, 4);
}

/* Back, far ahead, and over the end of its 64 bits. */
static void test_sequence_jumps(void **state)
{
	static const uint64_t to[] = {
		1000, 2, UINT64_MAX - 3, UINT64_MAX - 1, 2, 4, UINT64_MAX - 1
	};

	(void)state;
	draw_all(1);
	assert_new();
	for (size_t i = 0; i < HV_ARRAY_LEN(to); i++) {
		for (unsigned k = 0; k < FRAME_DRAWS; k++)
			vm.h->draw[k] = (struct frame_draw){ .sequence = to[i] };
		fill(0, 0, 8, 4, 20 + (uint32_t)i);
		vm.h->draw[to[i] / 2 % FRAME_DRAWS].n_rects = 1;
		vm.h->draw[to[i] / 2 % FRAME_DRAWS].rect[0] = (struct frame_rect){ 0, 0, 8, 4 };
		vm.h->sequence = to[i];
		assert_new();
		assert_true(pic.n_rects >= 1 && pic.n_rects <= UI_MAX_RECTS);
	}
	vm.h->sequence = 0;
	assert_int_equal(ui_display_read(viewer, &pic), UI_FRAME_LATER);
}

/* ---- a frame that moves meanwhile ---- */

static atomic_bool stop;

/* Draws the whole picture in one colour, in two sizes by turns, without a pause. */
static void *draw_on(void *arg)
{
	(void)arg;
	for (uint32_t v = 1; !stop; v++) {
		struct frame_draw *d = begin();
		atomic_thread_fence(memory_order_release);
		if (v % 64 == 0)
			mode(v % 128 ? 512 : 256, v % 128 ? 256 : 512);
		fill(0, 0, vm.h->width, vm.h->height, v);
		add(d, 0, 0, vm.h->width, vm.h->height);
		atomic_fetch_add_explicit(&vm.h->sequence, 1, memory_order_release);
		if (v % 8 == 0)
			g_usleep(20);
	}
	return NULL;
}

static void test_never_torn_unless_said(void **state)
{
	unsigned whole = 0;
	pthread_t t;

	(void)state;
	mode(512, 256);
	stop = false;
	assert_int_equal(pthread_create(&t, NULL, draw_on, NULL), 0);
	while (whole < 300) {
		if (ui_display_read(viewer, &pic) != UI_FRAME_NEW || pic.torn)
			continue;
		whole++;
		assert_memory_equal(pic.pixels, pic.pixels + 1, (512 * 256 - 1) * 4);
	}
	stop = true;
	pthread_join(t, NULL);
}

/* Random words all over the header, also while it is read. */
static void *scribble(void *arg)
{
	uint64_t rnd = (uint64_t)(uintptr_t)arg;
	uint32_t *words = (uint32_t *)(void *)vm.h;

	while (!stop) {
		const uint64_t r = test_rnd(&rnd);
		const size_t at = r % 4096 ? 16 + r / 4096 % (sizeof(*vm.h) / 4 - 16)
					   : r / 4096 % 16;
		const uint32_t values[] = { (uint32_t)(r >> 32), (uint32_t)(r >> 32) % 16,
					    UINT32_MAX,		 FRAME_MAX_WIDTH,
					    FRAME_MAX_WIDTH * 4, FRAME_MAX_HEIGHT };
		__atomic_store_n(&words[at], values[r % HV_ARRAY_LEN(values)], __ATOMIC_RELAXED);
	}
	return NULL;
}

static void test_scribbled(void **state)
{
	unsigned n = 0;
	pthread_t t;

	(void)state;
	for (uintptr_t round = 1; round <= 200; round++) {
		draw_all((uint32_t)round);
		stop = false;
		assert_int_equal(pthread_create(&t, NULL, scribble, (void *)round), 0);
		for (unsigned i = 0; i < 20; i++) {
			vm.h->magic = FRAME_MAGIC;
			vm.h->aspect_x = vm.h->aspect_y = 1;
			vm.h->sequence += 2;
			if (ui_display_read(viewer, &pic) != UI_FRAME_NEW)
				continue;
			n++;
			assert_in_range(pic.width, 1, FRAME_MAX_WIDTH);
			assert_in_range(pic.height, 1, FRAME_MAX_HEIGHT);
			assert_in_range(pic.n_rects, 1, UI_MAX_RECTS);
			for (unsigned k = 0; k < pic.n_rects; k++) {
				assert_in_range(pic.rect[k].x + pic.rect[k].width, 1, pic.width);
				assert_in_range(pic.rect[k].y + pic.rect[k].height, 1, pic.height);
			}
		}
		stop = true;
		pthread_join(t, NULL);
		teardown(NULL);
		setup(NULL);
	}
	assert_in_range(n, 100, 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_follows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copies_the_damage_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mode_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_size_after_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_far_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_draw_under_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flooded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_header_out_of_range, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sequence_jumps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_torn_unless_said, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scribbled, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
