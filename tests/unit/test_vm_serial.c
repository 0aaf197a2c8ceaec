/* devmodel/vm/serial: nothing is lost to or from the sink, viewers see the past and the present. */
#include "ctest.h"
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include "vm/serial.h"

/* A device that takes a few bytes at a time. */
struct device {
	uint8_t got[65536];
	size_t n_got, room;
	unsigned can_writes;
};

static struct loop *loop;
static struct serial *serial;
static struct device device;
static char path[64];

static size_t d_receive(void *ctx, const uint8_t *buf, size_t len)
{
	struct device *d = ctx;
	const size_t n = MIN(len, d->room);

	memcpy(d->got + d->n_got, buf, n);
	d->n_got += n;
	d->room -= n;
	return n;
}

static void d_can_write(void *ctx)
{
	((struct device *)ctx)->can_writes++;
}

static int setup(void **state)
{
	struct err e;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/lodge-serial-%d", (int)getpid());
	memset(&device, 0, sizeof(device));
	assert_ok(loop_create(&loop, &e), &e);
	assert_ok(serial_create(loop, "serial.0.output", path, false, &serial, &e), &e);
	serial_chr(serial)->peer = (struct chr_peer){ d_receive, d_can_write, &device };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	serial_destroy(serial);
	loop_destroy(loop);
	return unlink(path);
}

/* Lets both loops do what is due, now or in a few milliseconds. */
static void turn(void)
{
	for (unsigned i = 0; i < 20; i++) {
		loop_dispatch(loop, 1);
		g_main_context_iteration(NULL, FALSE);
	}
}

static size_t guest_writes(const char *text, size_t len)
{
	struct chr *c = serial_chr(serial);

	return c->ops->write(c, (const uint8_t *)text, len);
}

static void assert_file(const char *want)
{
	g_autofree char *text = NULL;

	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	assert_string_equal(text, want);
}

static void test_sink(void **state)
{
	(void)state;
	assert_int_equal(guest_writes("hello ", 6), 6);
	assert_int_equal(guest_writes("world", 5), 5);
	turn();
	assert_file("hello world");
}

static void test_back_pressure(void **state)
{
	g_autofree char *text = g_strnfill(100000, 'x');
	size_t n;
	struct stat st;

	(void)state;
	n = guest_writes(text, 100000);
	assert_true(n > 0 && n < 100000);
	assert_int_equal(guest_writes(text, 1), 0);
	turn();
	assert_int_equal(device.can_writes, 1);
	assert_int_equal(guest_writes(text, 100000 - n), 100000 - n);
	serial_flush(serial, 1000);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 100000);
}

static void test_viewer(void **state)
{
	char buf[64] = "";
	struct err e;
	int old, fresh;

	(void)state;
	guest_writes("before ", 7);
	turn();
	assert_ok(serial_open_viewer(serial, true, &old, &e), &e);
	assert_ok(serial_open_viewer(serial, false, &fresh, &e), &e);
	guest_writes("after", 5);
	turn();
	assert_int_equal(read(old, buf, sizeof(buf)), 12);
	assert_string_equal(buf, "before after");
	memset(buf, 0, sizeof(buf));
	assert_int_equal(read(fresh, buf, sizeof(buf)), 5);
	assert_string_equal(buf, "after");
	close(old);
	close(fresh);
	turn();
}

static void test_input(void **state)
{
	struct chr *c = serial_chr(serial);
	struct err e;
	int fd;

	(void)state;
	assert_ok(serial_open_viewer(serial, true, &fd, &e), &e);
	device.room = 3;
	assert_int_equal(write(fd, "abcdefgh", 8), 8);
	turn();
	assert_int_equal(device.n_got, 3);
	device.room = 100;
	c->ops->accept_input(c);
	turn();
	assert_int_equal(device.n_got, 8);
	assert_memory_equal(device.got, "abcdefgh", 8);
	close(fd);
	turn();
}

/* More than all buffers hold, into a device that takes it slowly. */
static void test_much_input(void **state)
{
	struct chr *c = serial_chr(serial);
	uint8_t text[60000];
	size_t sent = 0;
	struct err e;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 31 >> 3);
	assert_ok(serial_open_viewer(serial, true, &fd, &e), &e);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (unsigned i = 0; device.n_got < sizeof(text) && i < 100000; i++) {
		const ssize_t n = write(fd, text + sent, MIN(sizeof(text) - sent, 3000));
		sent += n > 0 ? (size_t)n : 0;
		device.room = 16;
		c->ops->accept_input(c);
		loop_dispatch(loop, 0);
		g_main_context_iteration(NULL, FALSE);
	}
	assert_int_equal(device.n_got, sizeof(text));
	assert_memory_equal(device.got, text, sizeof(text));
	close(fd);
	turn();
}

/* A viewer that never reads is dropped; the sink loses nothing. */
static void test_stuck_viewer(void **state)
{
	g_autofree char *text = g_strnfill(50000, 'y');
	struct err e;
	struct stat st;
	struct pollfd p = { .events = POLLIN };
	int fd;

	(void)state;
	assert_ok(serial_open_viewer(serial, true, &fd, &e), &e);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(guest_writes(text, 50000), 50000);
		serial_flush(serial, 1000);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 200 * 50000);
	p.fd = fd;
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(p.revents & POLLHUP);
	close(fd);
}

static void test_bad_output(void **state)
{
	struct serial *s = NULL;
	struct err e;

	(void)state;
	assert_int_equal(serial_create(loop, "serial.1.output", "/nonexistent/x", false, &s, &e),
			 -ENOENT);
	assert_non_null(strstr(e.msg, "serial.1.output"));
	assert_null(s);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_sink),	    T(test_back_pressure), T(test_viewer),     T(test_input),
		T(test_much_input), T(test_stuck_viewer),  T(test_bad_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
