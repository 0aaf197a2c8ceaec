/* What this host can run, for `lodge doctor`; and the settings as text, for `lodge help`. */
#include "vm/probe.h"
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/landlock.h>
#include "cpu/model.h"
#include "engine/engine.h"
#include "protocol/protocol.h"
#include "vm/config_int.h"
#include "vm/engine_choice.h"

struct probe {
	bool json;
	bool engine_found;
	unsigned n;
};

static void line(struct probe *p, const char *verdict, const char *what, const char *text)
{
	g_autoptr(GString) out = g_string_new(NULL);

	if (!p->json) {
		printf("%-5s %-20s %s\n", verdict, what, text);
		return;
	}
	g_string_append(out, p->n++ > 0 ? ",\n{\"check\":" : "{\"check\":");
	lodge_json_string(out, what);
	g_string_append(out, ",\"verdict\":");
	lodge_json_string(out, verdict);
	g_string_append(out, ",\"text\":");
	lodge_json_string(out, text);
	printf("%s}", out->str);
}

static void probe_engines(struct probe *p)
{
	for (unsigned i = 0; hv_engine_at(i); i++) {
		const struct hv_engine_ops *ops = hv_engine_at(i);
		g_autofree char *what = g_strdup_printf("engine %s", ops->name);
		struct err e = { .msg = "" };
		if (ops == &hv_engine_null)
			continue;
		if (engine_probe(ops, &e) == 0) {
			line(p, "ok", what,
			     p->engine_found ? "works" : "works; engine=auto takes it");
			p->engine_found = true;
		} else {
			line(p, "note", what, e.msg);
		}
	}
}

static void probe_models(struct probe *p)
{
	for (unsigned i = 0; cpu_model_name(i); i++) {
		g_autofree char *what = g_strdup_printf("cpu.model %s", cpu_model_name(i));
		struct cpu_model model;
		struct err e = { .msg = "" };
		if (cpu_model_get(cpu_model_name(i), 1, &model, &e) == 0)
			line(p, "ok", what, "this host has all it promises");
		else
			line(p, "note", what, e.msg);
	}
}

static void probe_sandbox(struct probe *p)
{
	const long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
				 LANDLOCK_CREATE_RULESET_VERSION);
	g_autofree char *text = g_strdup_printf("version %ld", abi);

	if (abi >= 1)
		line(p, "ok", "sandbox Landlock", text);
	else
		line(p, "note", "sandbox Landlock",
		     "this kernel has none: files are guarded by seccomp alone");
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0)
		line(p, "ok", "sandbox seccomp", "this kernel has it");
	else
		line(p, "bad", "sandbox seccomp",
		     "this kernel has none: VMs cannot start (CONFIG_SECCOMP_FILTER)");
}

int vm_probe(bool json)
{
	struct probe p = { .json = json };
	g_autoptr(GError) error = NULL;
	g_autofree char *root = NULL;

	printf("%s", json ? "[" : "");
	probe_engines(&p);
	probe_models(&p);
	probe_sandbox(&p);
	root = lodge_run_root(true, &error);
	line(&p, root ? "ok" : "bad", "runtime folder", root ? root : error->message);
	printf("%s", json ? "]\n" : "");
	return root && p.engine_found ? 0 : LODGE_ERROR_HOST_LIMIT;
}

/* ---- settings ---- */

void vm_print_setting_words(void)
{
	for (const struct setting *s = vm_settings; s->key; s++) {
		g_autofree char *choices = s->choices ? g_strjoinv(" ", (char **)(void *)s->choices)
						      : NULL;
		printf("%s\t%s\t%s\n", s->key, s->help,
		       choices			 ? choices
		       : s->type == SETTING_BOOL ? "yes no"
						 : "");
	}
}

static void print_setting(const struct setting *s)
{
	g_autofree char *choices = s->choices ? g_strjoinv(" ", (char **)(void *)s->choices) : NULL;

	printf("%-20s %s", s->key, s->help);
	if (choices)
		printf(": %s", choices);
	if (s->type == SETTING_NUMBER || s->type == SETTING_NUMBER64)
		printf(": %llu to %llu", (unsigned long long)s->min, (unsigned long long)s->max);
	if (s->def)
		printf(" [%s]", s->def);
	printf("\n");
}

/* The setting of that name, as it stands in the table or in vm.ini, or one of that group. */
static bool is_meant(const struct setting *s, const char *key)
{
	const size_t len = strlen(key);
	g_autofree char *name = NULL;

	return strcmp(s->key, key) == 0 || vm_setting_fits(s->key, key, &name) ||
	       (strncmp(s->key, key, len) == 0 && s->key[len] == '.');
}

int vm_print_settings(const char *key, struct err *e)
{
	const char *keys[128];
	unsigned n = 0;
	bool found = !key;
	const char *near;

	for (const struct setting *s = vm_settings; s->key && n < G_N_ELEMENTS(keys) - 1; s++) {
		if (!key || is_meant(s, key)) {
			print_setting(s);
			found = true;
		}
		keys[n++] = s->key;
	}
	if (found)
		return 0;
	keys[n] = NULL;
	near = lodge_nearest(key, keys);
	return err_set(e, -EINVAL, "no setting '%.64s'%s%s (lodge help settings)", key,
		       near ? "; the nearest is " : "", near ? near : "");
}
