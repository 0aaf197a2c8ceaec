/* Between the AHCI controller's registers (ahci.c) and its ports (ahci_port.c). */
#ifndef DEVMODEL_STORAGE_CTRL_AHCI_INT_H
#define DEVMODEL_STORAGE_CTRL_AHCI_INT_H
#include "base/util.h"
#include "devmodel/storage/ctrl/ahci.h"
#include "devmodel/storage/ctrl/ata/ata.h"

#define AHCI_SLOTS 32
#define AHCI_WHAT_MAX 31

/* PxCMD */
enum { CMD_ST = 1u, CMD_SUD = 1u << 1, CMD_POD = 1u << 2, CMD_CLO = 1u << 3, CMD_FRE = 1u << 4 };
enum { CMD_CCS = 31u << 8, CMD_FR = 1u << 14, CMD_CR = 1u << 15 };
enum { CMD_ATAPI = 1u << 24, CMD_DLAE = 1u << 25 };
/* PxIS, PxIE */
enum { IS_DHRS = 1u, IS_PSS = 1u << 1, IS_DSS = 1u << 2, IS_SDBS = 1u << 3, IS_DPS = 1u << 5 };
enum { IS_PCS = 1u << 6, IS_PRCS = 1u << 22, IS_OFS = 1u << 24, IS_HBFS = 1u << 29 };
enum { IS_TFES = 1u << 30, IE_MASK = 0x7dc0007f };
enum { SERR_DIAG_N = 1u << 16, SERR_DIAG_X = 1u << 26 };

STATE_LAYOUT_BEGIN
struct ahci_port_state {
	uint64_t clb, fb;
	uint32_t is, ie, cmd, tfd, sig, ssts, sctl, serr, sact, ci;
	uint32_t last;	 /* slot that was started last */
	uint8_t halted;	 /* by an error, until ST is cleared */
	uint8_t signed_; /* the signature has come since the last COMRESET */
	uint8_t srst;	 /* a software reset has begun */
	uint8_t pad_[1];
	struct ata_drive_state drive;
};
struct ahci_state {
	struct pci_state pci;
	uint32_t ghc, is;
	struct ahci_port_state port[AHCI_PORTS];
};
STATE_LAYOUT_END

struct ahci;

struct ahci_port {
	/* constant after creation */
	struct ahci *a; /* borrowed */
	unsigned n;
	struct ahci_port_state *s; /* borrowed */
	struct ata_drive drive;
	struct ahci_slot *slot; /* owned: AHCI_SLOTS; NULL: nothing is attached */
	/* under the domain; all zero when nothing is under way */
	uint32_t issued; /* slots whose commands the drive has */
	uint32_t queued; /* of them: FPDMA */
	uint32_t stale;	 /* slots whose requests are still to come back */
	bool starting;	 /* in ahci_port_run() */
};

struct ahci_slot {
	struct ata_cmd cmd;
	struct ata_cmd_state s;
	struct ahci_port *port; /* borrowed */
	uint64_t header;	/* address */
	uint8_t buf[ATA_BUF_BYTES];
};

struct ahci {
	struct pci_dev pci;
	struct ahci_state s;
	char port0[AHCI_WHAT_MAX + 1], port1[AHCI_WHAT_MAX + 1], port2[AHCI_WHAT_MAX + 1];
	char port3[AHCI_WHAT_MAX + 1], port4[AHCI_WHAT_MAX + 1], port5[AHCI_WHAT_MAX + 1];
	struct ata_host host;
	struct ahci_port port[AHCI_PORTS];
	bool quiet; /* between quiesce and resume */
};

/* ahci.c: a port's interrupt causes have changed; fresh: there is a new one. */
void ahci_update_irq(struct ahci *a, bool fresh);

/* ahci_port.c */
extern const struct ata_host_ops ahci_host_ops;
int ahci_port_create(struct ahci_port *p, const char *what, struct err *e) HV_MUST_CHECK;
void ahci_port_destroy(struct ahci_port *p);
void ahci_port_state_init(struct ahci_port_state *s);
int ahci_port_post_load(const struct ahci_port_state *s, struct err *e) HV_MUST_CHECK;
/* Power-on, or a reset by GHC.HR; the link comes up by itself. */
void ahci_port_reset(struct ahci_port *p, bool power_on);
int ahci_port_settle(struct ahci_port *p) HV_MUST_CHECK; /* ata_cmd_settle() of all slots */
/* Whether a written 1 does something that a 0 does not. */
bool ahci_port_ones_act(unsigned off);
uint32_t ahci_port_read(struct ahci_port *p, unsigned off);
void ahci_port_write(struct ahci_port *p, unsigned off, uint32_t v);
/* Starts what can be started. */
void ahci_port_run(struct ahci_port *p);
extern const struct state_desc ahci_port_state_desc;
#endif
