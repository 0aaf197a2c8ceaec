/* Inner parts of the gdb stub: its state, for stub.c (packets, stops) and commands.c. */
#ifndef VM_GDB_STUB_INT_H
#define VM_GDB_STUB_INT_H
#include "vm/gdb/stub.h"

#define GDB_PACKET_MAX 16384

struct gdb_stub {
	const struct gdb_target_ops *ops; /* borrowed */
	void *ctx;
	/* the packet that is coming in */
	enum { GDB_IDLE, GDB_BODY, GDB_SUM1, GDB_SUM2 } phase;
	char packet[GDB_PACKET_MAX + 1];
	size_t len;
	uint8_t sum, want;
	bool bad; /* too long, or its checksum is no number */
	bool no_ack;
	bool left; /* gdb has detached or killed the target */
	/* the target */
	bool running;
	unsigned thread;	 /* that g, m and so on mean */
	unsigned list_next;	 /* of qsThreadInfo */
	struct hv_debug debug;	 /* all breakpoints and watchpoints; single_step unused here */
	bool hard[HV_DEBUG_MAX]; /* that break was set as a hardware one */
	/* the last stop */
	int stop_signal;
	unsigned stop_thread;
	char stop_extra[64];
};

void gdb_reply(struct gdb_stub *g, const char *payload);
void gdb_reply_len(struct gdb_stub *g, const char *payload, size_t len);
void gdb_report_stop(struct gdb_stub *g);
/* One whole packet, NUL-ended after len bytes. */
void gdb_command(struct gdb_stub *g, const char *p, size_t len);
#endif
