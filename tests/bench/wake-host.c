/*
 * wake-host: how late a thread that waits for a timerfd wakes up: a thousand times a millisecond
 * ahead. Prints each lateness in nanoseconds.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES 1000
#define PERIOD_NS 1000000u
#define NS_PER_SEC 1000000000u

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

int main(void)
{
	static uint64_t late[SAMPLES];
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t due = now_ns() + PERIOD_NS, expirations;
		struct itimerspec its = { .it_value = { (time_t)(due / NS_PER_SEC),
							(long)(due % NS_PER_SEC) } };

		if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL) < 0 ||
		    read(fd, &expirations, sizeof(expirations)) != sizeof(expirations)) {
			perror("wake-host");
			return 1;
		}
		late[i] = now_ns() - due;
	}
	for (unsigned i = 0; i < SAMPLES; i++)
		printf("%llu\n", (unsigned long long)late[i]);
	return 0;
}
