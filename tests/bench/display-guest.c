/*
 * The first process of the guest that tests/bench/display watches. It does what lines on the first
 * serial port say, each for that many seconds by the guest's clock, and answers with a line:
 *   idle N    nothing
 *   lines N   numbered lines on the console, as fast as they go
 *   film N    60 pictures a second on the whole frame buffer, each with its number in the top left
 *             corner; a picture whose time has passed is left out
 * The answer is "DONE" and how many lines or pictures there were.
 */
#include <fcntl.h>
#include <linux/fb.h>
#include <linux/kd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define CORNER 64
#define RATE 60
#define NS 1000000000ull

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static void until(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / NS), (long)(ns % NS) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static unsigned lines(uint64_t end)
{
	unsigned n = 0;
	FILE *f = fopen("/dev/tty1", "w");

	for (; f && now_ns() < end; n++) {
		fprintf(f, "%08u the quick brown fox jumps over the lazy dog, and so on and on\n",
			n);
		fflush(f);
	}
	if (f)
		fclose(f);
	return n;
}

static void draw(const struct fb_var_screeninfo *v, const struct fb_fix_screeninfo *x,
		 uint8_t *memory, unsigned number)
{
	for (unsigned y = 0; y < v->yres; y++) {
		volatile uint64_t *row = (uint64_t *)(void *)(memory + (size_t)y * x->line_length);
		const uint64_t colour = (number * 4 + y) % 0x100 * 0x010203 + 0x100000;
		/* the corner only ever has numbers in it */
		for (unsigned i = y < CORNER ? CORNER / 2 : 0; i < v->xres / 2; i += 4)
			row[i] = row[i + 1] = row[i + 2] = row[i + 3] = colour << 32 | colour;
	}
	for (unsigned y = 0; y < CORNER; y++) {
		volatile uint32_t *row = (uint32_t *)(void *)(memory + (size_t)y * x->line_length);
		for (unsigned i = 0; i < CORNER; i++)
			row[i] = number * 0x3579b5 & 0xffffff;
	}
}

static unsigned film(uint64_t end)
{
	struct fb_var_screeninfo v;
	struct fb_fix_screeninfo x;
	const uint64_t begin = now_ns();
	uint64_t number = 0;
	unsigned n = 0;
	const int tty = open("/dev/tty1", O_RDWR), fb = open("/dev/fb0", O_RDWR);

	if (fb < 0 || tty < 0 || ioctl(tty, KDSETMODE, KD_GRAPHICS) < 0 ||
	    ioctl(fb, FBIOGET_VSCREENINFO, &v) < 0 || ioctl(fb, FBIOGET_FSCREENINFO, &x) < 0 ||
	    v.bits_per_pixel != 32)
		return 0;
	uint8_t *memory = mmap(NULL, x.smem_len, PROT_READ | PROT_WRITE, MAP_SHARED, fb, 0);
	if (memory == MAP_FAILED)
		return 0;
	for (; begin + number * NS / RATE < end; n++) {
		until(begin + number * NS / RATE);
		draw(&v, &x, memory, (unsigned)number);
		/* the next one, or that whose turn it is by now */
		const uint64_t turn = (now_ns() - begin) * RATE / NS;
		number = turn > number ? turn : number + 1;
	}
	munmap(memory, x.smem_len);
	ioctl(tty, KDSETMODE, KD_TEXT);
	close(fb);
	close(tty);
	return n;
}

static void serial(int fd)
{
	struct termios t;

	tcgetattr(fd, &t);
	cfmakeraw(&t);
	cfsetspeed(&t, B115200);
	t.c_lflag |= ICANON;
	tcsetattr(fd, TCSANOW, &t);
}

int main(void)
{
	char word[16];
	unsigned seconds, n;

	mkdir("/dev", 0755);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	const int fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");

	if (!in || !out)
		return 1;
	serial(fd);
	fprintf(out, "BENCH-UP\n");
	fflush(out);
	while (fscanf(in, "%15s %u", word, &seconds) == 2) {
		const uint64_t end = now_ns() + seconds * NS;
		n = strcmp(word, "lines") == 0	? lines(end)
		    : strcmp(word, "film") == 0 ? film(end)
						: 0;
		until(end);
		fprintf(out, "DONE %u\n", n);
		fflush(out);
	}
	return 0;
}
