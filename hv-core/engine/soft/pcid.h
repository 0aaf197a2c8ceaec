/* Translations of other process contexts than the current one, see pcid.c. */
#ifndef SOFT_PCID_H
#define SOFT_PCID_H
#include "engine/soft/mmu.h"

int soft_pcid_create(struct soft_vcpu *v, struct err *e) HV_MUST_CHECK;
void soft_pcid_destroy(struct soft_vcpu *v);
/* What the TLBs hold is pcid's, but for what is global: keeps it, in place of what it had. */
void soft_pcid_park(struct soft_vcpu *v, unsigned pcid);
/* The TLBs hold global pages only: puts back what there is of pcid. */
void soft_pcid_restore(struct soft_vcpu *v, unsigned pcid);
void soft_pcid_drop(struct soft_vcpu *v, unsigned pcid);
void soft_pcid_drop_all(struct soft_vcpu *v);
/* Nothing may be written to the host's page without being seen any more. */
void soft_pcid_drop_host(struct soft_vcpu *v, const uint8_t *host);
#endif
