; segments: limits, types, privileges in 32-bit protected mode; SDM volume 3, 5.3 to 5.7, 3.4
%include "rt.inc"

S_RW	equ SEL_FREE		; base buf, limit 0x0f
S_RO	equ SEL_FREE + 0x08	; read only
S_XO	equ SEL_FREE + 0x10	; execute only code
S_XR	equ SEL_FREE + 0x18	; readable code
S_DOWN	equ SEL_FREE + 0x20	; expand-down, limit 0x0f, 32-bit
S_NP	equ SEL_FREE + 0x28	; not present
S_CONF	equ SEL_FREE + 0x30	; conforming code, readable, DPL 0
S_PG	equ SEL_FREE + 0x38	; granularity 4 KiB, limit 1
S_DOWN16 equ SEL_FREE + 0x40	; expand-down, limit 0x0f, 16-bit
S_STK	equ SEL_FREE + 0x48	; 16-bit stack
S_U	equ SEL_FREE + 0x50	; data DPL 3
S_LDT	equ SEL_FREE + 0x58
S_BIG	equ SEL_FREE + 0x60	; code with a small limit
S_NPC	equ SEL_FREE + 0x68	; code, not present
S_C3	equ SEL_FREE + 0x70	; code, DPL 3, not conforming

section .bss
	alignb 4096
buf:	resb 65536 + 4096
ldt:	resb 16

section .text
bits 32
main:
	SETDESC_AT S_RW, buf, 0x0f, 0x92, 4
	SETDESC_AT S_RO, buf, 0x0f, 0x90, 4
	SETDESC_AT S_XO, buf, 0x0f, 0x98, 4
	SETDESC_AT S_XR, buf, 0x0f, 0x9a, 4
	SETDESC_AT S_DOWN, buf, 0x0f, 0x96, 4
	SETDESC_AT S_NP, buf, 0x0f, 0x12, 4
	SETDESC S_CONF, 0, 0xfffff, 0x9e, 12
	SETDESC_AT S_PG, buf, 1, 0x92, 12
	SETDESC_AT S_DOWN16, buf, 0x0f, 0x96, 0
	SETDESC_AT S_STK, buf, 0xffff, 0x92, 0
	SETDESC_AT S_U, buf, 0x0f, 0xf2, 4
	SETDESC_AT S_LDT, ldt, 15, 0x82, 0
	SETDESC S_BIG, 0, 0x1ff, 0x9a, 4
	SETDESC S_NPC, 0, 0xfffff, 0x1a, 12
	SETDESC S_C3, 0, 0xfffff, 0xfa, 12
	; limits
	mov eax, S_RW
	mov fs, ax
	mov al, [rt_gdt + S_RW + 5]
	movzx eax, al
	EQ eax, 0x93, "the load set the accessed bit"
	RUNS "byte at the limit", mov al, [fs:15]
	RUNS "word at the limit", mov ax, [fs:14]
	RUNS "dword at the limit", mov eax, [fs:12]
	FAULTS "byte above", VEC_GP, 0, mov al, [fs:16]
	mov eax, S_RW
	mov fs, ax
	FAULTS "word over the limit", VEC_GP, 0, mov ax, [fs:15]
	mov eax, S_RW
	mov fs, ax
	FAULTS "dword over the limit", VEC_GP, 0, mov eax, [fs:13]
	mov eax, S_RW
	mov fs, ax
	FAULTS "write over the limit", VEC_GP, 0, mov [fs:13], eax
	mov eax, S_RW
	mov fs, ax
	FAULTS "the top of the address space", VEC_GP, 0, mov al, [fs:-1]
	mov eax, S_PG
	mov fs, ax
	RUNS "granular limit", mov al, [fs:0x1fff]
	FAULTS "above the granular limit", VEC_GP, 0, mov al, [fs:0x2000]
	; expand-down: valid above the limit
	mov eax, S_DOWN
	mov fs, ax
	FAULTS "expand-down at the limit", VEC_GP, 0, mov al, [fs:15]
	mov eax, S_DOWN
	mov fs, ax
	RUNS "expand-down above", mov al, [fs:16]
	mov eax, S_DOWN16
	mov fs, ax
	RUNS "16-bit expand-down at the top", mov al, [fs:0xffff]
	FAULTS "16-bit expand-down over the top", VEC_GP, 0, mov ax, [fs:0xffff]
	; types
	mov eax, S_RO
	mov fs, ax
	RUNS "read of read-only data", mov al, [fs:0]
	FAULTS "write of read-only data", VEC_GP, 0, mov [fs:0], al
	mov eax, S_XR
	mov fs, ax
	RUNS "read of readable code", mov al, [fs:0]
	FAULTS "write of code", VEC_GP, 0, mov [fs:0], al
	FAULTS "write to CS", VEC_GP, 0, mov [cs:buf], al
	mov eax, S_XO
	FAULTS "execute-only into DS", VEC_GP, S_XO, mov ds, ax
	mov eax, SEL_TSS
	FAULTS "system descriptor into ES", VEC_GP, SEL_TSS, mov es, ax
	mov eax, S_NP
	FAULTS "not present", VEC_NP, S_NP, mov gs, ax
	mov eax, 0x1000
	FAULTS "beyond the GDT", VEC_GP, 0x1000, mov gs, ax
	mov eax, 0x1003
	FAULTS "the error code has no RPL", VEC_GP, 0x1000, mov gs, ax
	; null
	xor eax, eax
	RUNS "null selector loads", mov gs, ax
	RT_ARM .null_end
	mov gs, ax
.null_at: mov al, [gs:0]
.null_end:
	WAS "null selector used", VEC_GP, 0, .null_at
	mov eax, 3
	RUNS "null selector with RPL 3", mov gs, ax
	xor eax, eax
	FAULTS "null into SS", VEC_GP, 0, mov ss, ax
	; SS
	mov eax, S_RO
	FAULTS "read-only into SS", VEC_GP, S_RO, mov ss, ax
	mov eax, SEL_CODE
	FAULTS "code into SS", VEC_GP, SEL_CODE, mov ss, ax
	mov eax, S_NP
	FAULTS "SS not present", VEC_SS, S_NP, mov ss, ax
	mov eax, SEL_UDATA
	FAULTS "SS with DPL 3 at CPL 0", VEC_GP, SEL_UDATA & ~3, mov ss, ax
	mov eax, SEL_DATA + 1
	FAULTS "SS with RPL 1 at CPL 0", VEC_GP, SEL_DATA, mov ss, ax
	; privilege of data
	mov eax, SEL_DATA + 3
	FAULTS "DPL 0 with RPL 3", VEC_GP, SEL_DATA, mov es, ax
	mov eax, S_U + 3
	RUNS "DPL 3 with RPL 3", mov es, ax
	mov eax, S_CONF + 3
	RUNS "conforming code as data with RPL 3", mov es, ax
	USER .u_es
	WAS "DPL 0 at CPL 3", VEC_GP, SEL_DATA, .u_es_at
	USER .u_conf
	WAS "conforming code at CPL 3", VEC_DONE, 0, .u_conf_end
	; a stack segment's limit
	; the exception's own push must fit: so these run at CPL 3
	USER .u_stack
	WAS "over the limit by SS", VEC_SS, 0, .u_stack_at
	USER .u_push
	WAS "push below the segment", VEC_SS, 0, .u_push_at
	USER .u_ebp
	WAS "by EBP", VEC_SS, 0, .u_ebp_at
	; a 16-bit stack: push uses SP alone
	mov edx, esp
	mov eax, S_STK
	mov ss, ax
	mov esp, 0x12340100
	push dword 0x55667788
	mov ecx, esp
	mov esp, 0xabcd0000
	push word 0x99aa		; wraps
	mov ebx, esp
	mov eax, SEL_DATA
	mov ss, ax
	mov esp, edx
	EQ ecx, 0x123400fc, "push with a 16-bit stack"
	EQ ebx, 0xabcdfffe, "wrap of a 16-bit stack"
	EQ [buf + 0xfc], 0x55667788, "what was pushed"
	movzx eax, word [buf + 0xfffe]
	EQ eax, 0x99aa, "what was pushed at the top"
	; far transfers
	FAULTS "far jump to data", VEC_GP, SEL_DATA, jmp SEL_DATA:main
	FAULTS "far jump to null", VEC_GP, 0, jmp 0:main
	FAULTS "far jump, not present", VEC_NP, S_NPC, jmp S_NPC:main
	FAULTS "far jump to DPL 3 code", VEC_GP, S_C3, jmp S_C3:main
	FAULTS "far jump with RPL 3", VEC_GP, SEL_CODE, jmp SEL_CODE + 3:main
	FAULTS "far jump beyond the limit", VEC_GP, 0, jmp S_BIG:0x200
	FAULTS "far call beyond the limit", VEC_GP, 0, call S_BIG:0x200
	RUNS "far jump to conforming code", jmp S_CONF:.conf
.conf:
	mov eax, cs
	EQ eax, S_CONF, "CS after it"
	jmp SEL_CODE:.back
.back:
	; lar, lsl, verr, verw
	mov ecx, -1
	mov eax, S_RW
	lar ecx, eax
	setz dl
	movzx edx, dl
	EQ edx, 1, "lar sets ZF"
	EQ ecx, 0x00409300, "lar"
	lsl ecx, eax
	EQ ecx, 0x0f, "lsl"
	mov eax, S_PG
	lsl ecx, eax
	EQ ecx, 0x1fff, "lsl of a granular limit"
	mov ecx, 0x1234
	mov eax, 0x1000
	lar ecx, eax
	setz dl
	movzx edx, dl
	EQ edx, 0, "lar beyond the GDT"
	EQ ecx, 0x1234, "lar leaves its destination"
	mov eax, SEL_TSS
	lsl ecx, eax
	EQ ecx, 103, "lsl of a TSS"
	%macro VER 4	; instruction, selector, want ZF, text
	mov eax, %2
	%1 ax
	setz dl
	movzx edx, dl
	EQ edx, %3, %4
	%endmacro
	VER verr, S_RW, 1, "verr data"
	VER verw, S_RW, 1, "verw data"
	VER verw, S_RO, 0, "verw read-only"
	VER verr, S_XO, 0, "verr execute-only"
	VER verr, S_XR, 1, "verr readable code"
	VER verw, S_XR, 0, "verw code"
	VER verr, 0, 0, "verr null"
	VER verr, SEL_DATA + 3, 0, "verr with RPL 3"
	VER verr, S_CONF + 3, 1, "verr conforming with RPL 3"
	VER verr, S_NP, 1, "verr does not ask for presence"
	VER verr, SEL_TSS, 0, "verr system"
	; arpl
	mov eax, 0x10
	mov ecx, 0x1b
	arpl ax, cx
	setz dl
	movzx edx, dl
	EQ edx, 1, "arpl raises"
	EQ eax, 0x13, "arpl"
	arpl ax, cx
	setz dl
	movzx edx, dl
	EQ edx, 0, "arpl leaves"
	; the LDT
	mov dword [ldt + 8], DESC_LO(0, 0xfffff)
	mov dword [ldt + 12], DESC_HI(0, 0xfffff, 0x92, 12)
	mov eax, 0x0c
	xor ecx, ecx
	lldt cx
	FAULTS "LDT selector without an LDT", VEC_GP, 0x0c, mov es, ax
	mov ecx, SEL_DATA
	FAULTS "lldt of data", VEC_GP, SEL_DATA, lldt cx
	mov ecx, S_LDT
	lldt cx
	mov eax, 0x0c
	RUNS "LDT selector", mov es, ax
	mov eax, 0x14
	FAULTS "beyond the LDT", VEC_GP, 0x14, mov es, ax
	sldt ax
	movzx eax, ax
	EQ eax, S_LDT, "sldt"
	mov ecx, 0x14
	FAULTS "lldt by an LDT selector", VEC_GP, 0x14, lldt cx
	; les and lss load both halves or neither
	mov dword [buf], 0x11223344
	mov word [buf + 4], S_NP
	mov ecx, 0x5555
	FAULTS "les, not present", VEC_NP, S_NP, les ecx, [buf]
	EQ ecx, 0x5555, "les leaves its register"
	mov word [buf + 4], SEL_DATA
	les ecx, [buf]
	EQ ecx, 0x11223344, "les"
	; pop of a bad selector leaves ESP
	mov edx, esp
	RT_ARM .pop_end
	push dword S_NP
.pop_at: pop es
.pop_end:
	WAS "pop es, not present", VEC_NP, S_NP, .pop_at
	sub edx, 4
	EQ [x_sp], edx, "pop that faults leaves ESP"
	; reads of selectors
	mov eax, -1
	mov ax, ds
	EQ eax, 0xffff0000 + SEL_DATA, "mov to a 16-bit register"
	mov eax, ds
	EQ eax, SEL_DATA, "mov to a 32-bit register"
	FINISH
.u_es:	mov eax, SEL_DATA
.u_es_at: mov es, ax
.u_conf: mov eax, S_CONF
	mov es, ax
	DONE
.u_conf_end:
.u_stack:
	mov eax, S_U + 3
	mov ss, ax
.u_stack_at: mov al, [ss:16]
.u_push:
	mov eax, S_U + 3
	mov esp, 2
	mov ss, ax
.u_push_at: push eax
.u_ebp:
	mov eax, S_U + 3
	mov ss, ax
	mov ebp, 14
.u_ebp_at: mov eax, [ebp]
