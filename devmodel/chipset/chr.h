/*
 * A byte stream to and from the host: what a serial port or a debug console is plugged into. The
 * consumer of this interface is the device; back-ends are the VM program's, a null and a fake one.
 */
#ifndef DEVMODEL_CHIPSET_CHR_H
#define DEVMODEL_CHIPSET_CHR_H
#include <stddef.h>
#include <stdint.h>

struct chr;

struct chr_ops {
	/* Bytes from the guest, in a vCPU's thread, device's domain held. Never blocks: returns how
	 * many were taken (0 to len); the rest is offered again after chr_peer.can_write. */
	size_t (*write)(struct chr *c, const uint8_t *buf, size_t len);
	/* The device has room again after chr_peer.receive took less than offered. O */
	void (*accept_input)(struct chr *c);
};

/* The device's end, set in its realize; called in the loop thread, the device's domain taken by
 * the back-end through dev_post(), i.e. from a struct dev_work's fn. */
struct chr_peer {
	size_t (*receive)(void *ctx, const uint8_t *buf, size_t len); /* how many were taken */
	void (*can_write)(void *ctx);
	void *ctx;
};

struct chr {
	const struct chr_ops *ops;
	struct chr_peer peer; /* zero until a device is plugged in */
	void *dev_domain; /* struct hv_domain of the device, set by the machine; for back-ends */
};

extern struct chr chr_null; /* swallows output, gives no input */
#endif
