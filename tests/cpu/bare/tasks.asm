; tasks: hardware task switch and the I/O permission bitmap; SDM volume 3, chapter 7; volume 1, 16.5
%include "rt.inc"

S_B	equ SEL_FREE		; task B, 32-bit
S_C	equ SEL_FREE + 0x08	; task C: handles an exception with an error code
S_D	equ SEL_FREE + 0x10	; 16-bit task
S_NP	equ SEL_FREE + 0x18	; not present
S_SHORT equ SEL_FREE + 0x20	; limit too small
S_BAD	equ SEL_FREE + 0x28	; its CS is data
S_GATE	equ SEL_FREE + 0x30	; task gate to B
S_E	equ SEL_FREE + 0x38	; has the T bit
S_F	equ SEL_FREE + 0x40	; another CR3

%define T_LINK 0
%define T_ESP0 4
%define T_SS0 8
%define T_CR3 0x1c
%define T_EIP 0x20
%define T_EFLAGS 0x24
%define T_EAX 0x28
%define T_ESP 0x38
%define T_EBP 0x3c
%define T_ES 0x48
%define T_CS 0x4c
%define T_SS 0x50
%define T_DS 0x54
%define T_FS 0x58
%define T_GS 0x5c
%define T_LDT 0x60
%define T_TRAP 0x64
%define T_IOMAP 0x66

section .bss
	alignb 4096
dir_a:	resb 4096
dir_f:	resb 4096
tss_b:	resb 128
tss_c:	resb 128
tss_bad: resb 128
tss_e:	resb 128
tss_f:	resb 128
tss_d:	resb 64
stack_b: resb 4096
stack_b_top:
stack_c: resb 4096
stack_c_top:
stack_d equ 0x7000
seen:	resd 16
iotss:	resb 104 + 8192 + 8

section .text
bits 32
%macro TASK 3	; tss, entry, stack
	mov dword [%1 + T_ESP0], rt_stack0_top
	mov dword [%1 + T_SS0], SEL_DATA
	mov dword [%1 + T_EIP], %2
	mov dword [%1 + T_EFLAGS], 2
	mov dword [%1 + T_ESP], %3
	mov dword [%1 + T_ES], SEL_DATA
	mov dword [%1 + T_CS], SEL_CODE
	mov dword [%1 + T_SS], SEL_DATA
	mov dword [%1 + T_DS], SEL_DATA
	mov dword [%1 + T_FS], SEL_DATA
	mov dword [%1 + T_GS], SEL_DATA
	mov word [%1 + T_IOMAP], 104
%endmacro
%macro TYPE 3	; selector, access byte wanted, text
	movzx eax, byte [rt_gdt + %1 + 5]
	EQ eax, %2, %3
%endmacro
main:
	TASK tss_b, task_b, stack_b_top
	TASK tss_c, task_c, stack_c_top
	TASK tss_bad, task_b, stack_b_top
	TASK tss_e, task_e, stack_b_top
	TASK tss_f, task_f, stack_b_top
	mov dword [tss_bad + T_CS], SEL_DATA
	mov dword [tss_b + T_EAX], 0xb000000a
	mov dword [tss_b + T_EBP], 0xb000000b
	mov dword [tss_b + T_FS], 0
	mov word [tss_e + T_TRAP], 1
	SETDESC_AT S_B, tss_b, 103, 0x89, 0
	SETDESC_AT S_C, tss_c, 103, 0x89, 0
	SETDESC_AT S_D, tss_d, 43, 0x81, 0
	SETDESC_AT S_NP, tss_b, 103, 0x09, 0
	SETDESC_AT S_SHORT, tss_b, 102, 0x89, 0
	SETDESC_AT S_BAD, tss_bad, 103, 0x89, 0
	SETDESC_AT S_E, tss_e, 103, 0x89, 0
	SETDESC_AT S_F, tss_f, 103, 0x89, 0
	mov dword [rt_gdt + S_GATE], S_B << 16
	mov dword [rt_gdt + S_GATE + 4], 0x8500

	str ax
	movzx eax, ax
	EQ eax, SEL_TSS, "str"
	TYPE SEL_TSS, 0x8b, "ltr made the TSS busy"
	; what is refused leaves the task as it is
	FAULTS "jmp to a busy TSS", VEC_GP, SEL_TSS, jmp SEL_TSS:0
	FAULTS "call of a busy TSS", VEC_GP, SEL_TSS, call SEL_TSS:0
	FAULTS "TSS not present", VEC_NP, S_NP, jmp S_NP:0
	FAULTS "TSS too small", VEC_TS, S_SHORT, jmp S_SHORT:0
	mov eax, SEL_TSS
	FAULTS "ltr of a busy TSS", VEC_GP, SEL_TSS, ltr ax
	mov eax, S_NP
	FAULTS "ltr of one that is not present", VEC_NP, S_NP, ltr ax
	mov eax, SEL_DATA
	FAULTS "ltr of data", VEC_GP, SEL_DATA, ltr ax
	USER u_jmp
	WAS "jmp to a TSS of DPL 0 at CPL 3", VEC_GP, S_B, u_jmp
	USER u_gate
	WAS "task gate of DPL 0 at CPL 3", VEC_GP, S_GATE, u_gate

	; jmp
	mov ebp, 0xa000000a
	mov esi, 0xa000000b
	std
	jmp S_B:0
after_jmp:
	pushf
	pop eax
	cld
	and eax, F_DF | F_NT
	EQ eax, F_DF, "flags after the way back"
	EQ ebp, 0xa000000a, "EBP after the way back"
	EQ esi, 0xa000000b, "ESI after the way back"
	EQ [seen], S_B, "jmp: TR"
	EQ [seen + 4], 0xb000000a, "jmp: EAX"
	EQ [seen + 8], 0xb000000b, "jmp: EBP"
	EQ [seen + 12], stack_b_top, "jmp: ESP"
	EQ [seen + 16], 8, "jmp: CR0.TS is set"
	EQ [seen + 20], 0x89, "jmp: the old TSS is available"
	EQ [seen + 24], 0x8b, "jmp: the new TSS is busy"
	EQ [seen + 28], after_jmp, "jmp: EIP saved"
	EQ [seen + 32], 0xa000000a, "jmp: EBP saved"
	EQ [seen + 36], 0, "jmp: a null FS"
	EQ [seen + 40], 0, "jmp: NT"
	TYPE S_B, 0x89, "B is available again"
	TYPE SEL_TSS, 0x8b, "A is busy again"
	clts

	; call and iret
	mov dword [tss_b + T_EIP], task_b_nested
	mov dword [tss_b + T_EFLAGS], 2
	call S_B:0
	EQ [seen], F_NT, "call: NT inside"
	EQ [seen + 4], SEL_TSS, "call: link"
	EQ [seen + 8], 0x8b, "call: the caller stays busy"
	TYPE S_B, 0x89, "iret: B is available"
	TYPE SEL_TSS, 0x8b, "iret: A is busy"
	mov eax, [tss_b + T_EFLAGS]
	and eax, F_NT
	EQ eax, 0, "iret: NT is cleared in what is saved"
	pushf
	pop eax
	and eax, F_NT
	EQ eax, 0, "iret: NT of the caller"
	; a second call goes on behind the iret
	mov dword [seen], 0
	call S_B:0
	EQ [seen], 0x77, "second call: behind the iret"
	; by a task gate in the GDT, and in the IDT
	mov dword [tss_b + T_EIP], task_b_nested
	call S_GATE:0
	EQ [seen + 4], SEL_TSS, "task gate: link"
	mov dword [rt_idt + 0x50 * 8], S_B << 16
	mov dword [rt_idt + 0x50 * 8 + 4], 0x8500
	mov dword [tss_b + T_EIP], task_b_nested
	mov dword [seen], 0
	sti
	int 0x50
	pushf
	cli
	pop eax
	and eax, F_IF
	EQ eax, F_IF, "int by a task gate: IF comes back"
	EQ [seen], F_NT, "int by a task gate: NT"
	; an exception with an error code: on the new task's stack
	mov dword [rt_idt + VEC_NP * 8], S_C << 16
	mov dword [rt_idt + VEC_NP * 8 + 4], 0x8500
	mov eax, S_NP
np_at:	jmp S_NP:0
np_after:
	EQ [seen], S_NP, "#NP by a task gate: error code"
	EQ [seen + 4], np_at, "#NP by a task gate: EIP saved"
	OLDGATE VEC_NP
	; iret to a link that is not busy
	RT_ARM .link
	mov word [rt_tss], S_B
	pushf
	or dword [esp], F_NT
	popf
.link_at: iret
.link:	WAS "iret to a TSS that is not busy", VEC_TS, S_B, .link_at
	pushf
	and dword [esp], ~F_NT
	popf
	; a bad CS is found in the new task; the handler is a task, as the manual wants it
	mov dword [rt_idt + VEC_TS * 8], S_C << 16
	mov dword [rt_idt + VEC_TS * 8 + 4], 0x8500
	mov dword [tss_c + T_EIP], task_c_bad
	mov dword [tss_c + T_ESP], stack_c_top
	jmp S_BAD:0
	EQ [seen], SEL_DATA, "CS of the new task is data: error code"
	EQ [seen + 4], S_BAD, "the fault is in the new task"
	EQ [seen + 8], task_b, "EIP of the new task"
	OLDGATE VEC_TS
	and byte [rt_gdt + S_BAD + 5], ~2
	clts
	; the T bit
	RT_ARM .trap
	call S_E:0
.trap:	WAS "T bit", VEC_DB, 0, task_e
	mov eax, [x_dr6]
	and eax, 0xe00f
	EQ eax, 0x8000, "DR6.BT"
	and byte [rt_gdt + S_E + 5], ~2
	and byte [rt_gdt + SEL_TSS + 5], ~2
	pushf
	and dword [esp], ~F_NT
	popf
	mov eax, SEL_TSS
	ltr ax
	clts
	; a 16-bit task
	mov word [tss_d + 0x0e], task_d
	mov word [tss_d + 0x10], 2
	mov word [tss_d + 0x12], 0xd00d
	mov word [tss_d + 0x1a], stack_d
	mov word [tss_d + 0x22], SEL_DATA
	mov word [tss_d + 0x24], SEL_CODE
	mov word [tss_d + 0x26], SEL_DATA
	mov word [tss_d + 0x28], SEL_DATA
	call S_D:0
	movzx eax, word [seen]
	EQ eax, 0xd00d, "16-bit task: AX"
	EQ [seen + 4], stack_d, "16-bit task: SP"
	movzx eax, word [tss_d]
	EQ eax, SEL_TSS, "16-bit task: link"
	EQ [seen + 8], F_NT, "16-bit task: NT"
	clts
	; CR3 is part of a task
	mov eax, cr4
	or eax, 0x10
	mov cr4, eax
	xor ecx, ecx
.id:	mov eax, ecx
	shl eax, 22
	or eax, 0x87
	mov [dir_a + ecx * 4], eax
	mov [dir_f + ecx * 4], eax
	inc ecx
	cmp ecx, 1024
	jb .id
	mov dword [dir_f + 0x100 * 4], 0x87	; 0x40000000 is 0 there
	mov dword [tss_f + T_CR3], dir_f
	mov dword [rt_tss + T_CR3], dir_a
	mov eax, dir_a
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	jmp .paged
.paged:
	mov eax, [0x40000000 + seen]
	call S_F:0
	EQ [seen], 0xfeed, "CR3 of the new task"
	mov eax, cr3
	EQ eax, dir_a, "CR3 after the way back"
	clts
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax

	; the I/O permission bitmap
	SETDESC_AT S_B, iotss, 104 + 8191 + 1, 0x89, 0
	mov dword [iotss + T_ESP0], rt_stack0_top
	mov dword [iotss + T_SS0], SEL_DATA
	mov word [iotss + T_IOMAP], 104
	mov edi, iotss + 104
	mov ecx, 8192
	mov al, 0xff
	rep stosb
	mov byte [iotss + 104 + (0x80 / 8)], 0xf0	; 0x80 to 0x83 are free
	mov byte [iotss + 104 + 8192], 0xff
	mov eax, S_B
	ltr ax
	USER u_in
	WAS "port allowed", VEC_DONE, 0, u_in_end
	USER u_in84
	WAS "port refused", VEC_GP, 0, u_in84_at
	USER u_in83w
	WAS "word over into a refused port", VEC_GP, 0, u_in83w_at
	USER u_inffff
	WAS "the last port", VEC_GP, 0, u_inffff_at
	mov dword [rt_user_flags], 0x3002
	USER u_in84
	WAS "IOPL 3", VEC_DONE, 0, u_in84_end
	USER u_cli
	WAS "cli with IOPL 3", VEC_DONE, 0, u_cli_end
	mov dword [rt_user_flags], 2
	USER u_cli
	WAS "cli with IOPL 0", VEC_GP, 0, u_cli
	mov word [iotss + T_IOMAP], 104 + 8192 + 1
	USER u_in
	WAS "bitmap beyond the TSS", VEC_GP, 0, u_in_at
	xor eax, eax
	FAULTS "ltr of null", VEC_GP, 0, ltr ax
	FINISH

task_b:
	mov [seen + 4], eax
	mov [seen + 8], ebp
	mov [seen + 12], esp
	str ax
	movzx eax, ax
	mov [seen], eax
	mov eax, cr0
	and eax, 8
	mov [seen + 16], eax
	movzx eax, byte [rt_gdt + SEL_TSS + 5]
	mov [seen + 20], eax
	movzx eax, byte [rt_gdt + S_B + 5]
	mov [seen + 24], eax
	mov eax, [rt_tss + T_EIP]
	mov [seen + 28], eax
	mov eax, [rt_tss + T_EBP]
	mov [seen + 32], eax
	mov eax, fs
	mov [seen + 36], eax
	pushf
	pop eax
	and eax, F_NT
	mov [seen + 40], eax
	jmp SEL_TSS:0
task_b_nested:
	clts
	pushf
	pop eax
	and eax, F_NT
	mov [seen], eax
	movzx eax, word [tss_b + T_LINK]
	mov [seen + 4], eax
	movzx eax, byte [rt_gdt + SEL_TSS + 5]
	mov [seen + 8], eax
	iret
	clts
	mov dword [seen], 0x77
	iret
task_c:
	clts
	pop eax
	mov [seen], eax
	mov eax, [rt_tss + T_EIP]
	mov [seen + 4], eax
	mov dword [rt_tss + T_EIP], np_after
	iret
	jmp task_c
task_c_bad:
	clts
	pop eax
	mov [seen], eax
	movzx eax, word [tss_c + T_LINK]
	mov [seen + 4], eax
	mov eax, [tss_bad + T_EIP]
	mov [seen + 8], eax
	jmp SEL_TSS:0
task_e:
	iret
task_f:
	clts
	mov dword [seen], 0
	mov dword [0x40000000 + seen], 0xfeed
	iret
u_jmp:	jmp S_B:0
u_gate:	jmp S_GATE:0
u_in:	mov edx, 0x80
u_in_at: in eax, dx
	DONE
u_in_end:
u_in84:	mov edx, 0x84
u_in84_at: in al, dx
	DONE
u_in84_end:
u_in83w: mov edx, 0x83
u_in83w_at: in ax, dx
u_inffff: mov edx, 0xffff
u_inffff_at: in al, dx
u_cli:	cli
	DONE
u_cli_end:

section .low
bits 32
task_d:
	mov [seen], ax
	movzx eax, sp
	mov [seen + 4], eax
	pushf
	pop eax
	and eax, F_NT
	mov [seen + 8], eax
	iret
