/* See fake_machine.h. */
#include "fake_machine.h"
#include <string.h>

void fake_machine_init(struct fake_machine *m, uint64_t now_ns)
{
	fake_env_init(&m->f, now_ns);
}

void fake_machine_copy_world(struct fake_machine *to, const struct fake_machine *from)
{
	fake_env_copy_world(&to->f, &from->f);
}

int fake_machine_create(struct fake_machine *m, const struct dev_class *c, const char *id,
			struct dev **ret_dev, struct err *e)
{
	return dev_create(c, id, &m->f.env, NULL, NULL, ret_dev, e);
}

bool fake_machine_same(const struct fake_machine *a, const struct fake_machine *b)
{
	const struct fake_env *x = &a->f, *y = &b->f;

	return memcmp(x->irq, y->irq, sizeof(x->irq)) == 0 && x->n_msi == y->n_msi &&
	       memcmp(x->msi, y->msi, sizeof(x->msi)) == 0 && x->n_req == y->n_req &&
	       memcmp(x->req, y->req, sizeof(x->req)) == 0 && x->chr.n_out == y->chr.n_out &&
	       memcmp(x->chr.out, y->chr.out, sizeof(x->chr.out)) == 0 &&
	       x->chr.n_in == y->chr.n_in && memcmp(x->ram, y->ram, sizeof(x->ram)) == 0 &&
	       memcmp(x->blk.data, y->blk.data, sizeof(x->blk.data)) == 0;
}
