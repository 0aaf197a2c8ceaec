; gates: call gates, and interrupt and trap gates, with their privilege checks, stacks and error
; codes; SDM volume 3, 5.8.3 to 5.8.6, 6.12, 6.13
%include "rt.inc"

G_CALL	equ SEL_FREE		; to code at CPL 0, two parameters, DPL 3
G_DPL0	equ SEL_FREE + 0x08	; the same with DPL 0
G_NP	equ SEL_FREE + 0x10
G_BADC	equ SEL_FREE + 0x18	; names data
G_16	equ SEL_FREE + 0x20	; 16-bit call gate
G_SAME	equ SEL_FREE + 0x28	; to code of CPL 3
G_NULL	equ SEL_FREE + 0x30	; names the null selector
S_CONF	equ SEL_FREE + 0x38	; conforming code, DPL 0
S_NPC	equ SEL_FREE + 0x40	; code, not present
G_NPC	equ SEL_FREE + 0x48	; names it
S_C1	equ SEL_FREE + 0x50	; code, DPL 1
G_C1	equ SEL_FREE + 0x58	; names it
S_NPD	equ SEL_FREE + 0x60	; data, DPL 1, not present

%macro CALLGATE 5	; selector, label, target selector, access, parameters
	mov eax, %2
	mov [rt_gdt + %1], ax
	shr eax, 16
	mov [rt_gdt + %1 + 6], ax
	mov word [rt_gdt + %1 + 2], %3
	mov byte [rt_gdt + %1 + 4], %5
	mov byte [rt_gdt + %1 + 5], %4
%endmacro

section .bss
	alignb 8
seen:	resd 16

section .text
bits 32
main:
	CALLGATE G_CALL, inner, SEL_CODE, 0xec, 2
	CALLGATE G_DPL0, inner, SEL_CODE, 0x8c, 2
	CALLGATE G_NP, inner, SEL_CODE, 0x6c, 2
	CALLGATE G_BADC, inner, SEL_DATA, 0xec, 2
	CALLGATE G_16, inner16, SEL_CODE, 0xe4, 1
	CALLGATE G_SAME, same, SEL_UCODE, 0xec, 0
	CALLGATE G_NULL, inner, 0, 0xec, 0
	CALLGATE G_NPC, inner, S_NPC, 0xec, 0
	CALLGATE G_C1, inner, S_C1, 0xec, 0
	SETDESC S_C1, 0, 0xfffff, 0xba, 12
	SETDESC S_NPD, 0, 0xfffff, 0x32, 12
	SETDESC S_CONF, 0, 0xfffff, 0x9e, 12
	SETDESC S_NPC, 0, 0xfffff, 0x1a, 12

	; a call from CPL 3 to CPL 0
	USER u_call
	WAS "call gate and return", VEC_DONE, 0, u_call_end
	EQ [seen], SEL_CODE, "CS inside"
	EQ [seen + 4], SEL_DATA, "SS inside"
	EQ [seen + 8], rt_stack0_top - 24, "ESP inside"
	EQ [seen + 12], u_call_ret, "frame: return address"
	EQ [seen + 16], SEL_UCODE, "frame: CS"
	EQ [seen + 20], 0x2222, "frame: last parameter"
	EQ [seen + 24], 0x1111, "frame: first parameter"
	EQ [seen + 28], rt_ustack_top - 8, "frame: ESP"
	EQ [seen + 32], SEL_UDATA, "frame: SS"
	EQ [seen + 36], rt_ustack_top, "ESP after a return that pops the parameters"
	EQ [seen + 40], 0, "the return takes DS of DPL 0 away"
	EQ [seen + 44], SEL_UDATA, "and leaves ES of DPL 3"
	USER u_16
	WAS "16-bit call gate", VEC_DONE, 0, u_16_end
	EQ [seen], rt_stack0_top - 10, "16-bit gate: ESP inside"
	EQ [seen + 4], 0x3333, "16-bit gate: the parameter"
	USER u_same
	WAS "call gate to CPL 3", VEC_DONE, 0, u_same_end
	EQ [seen], rt_ustack_top - 8, "no change of stack"
	; refusals
	USER u_dpl0
	WAS "gate with DPL 0", VEC_GP, G_DPL0, u_dpl0
	USER u_np
	WAS "gate not present", VEC_NP, G_NP, u_np
	USER u_badc
	WAS "gate that names data", VEC_GP, SEL_DATA, u_badc
	USER u_null
	WAS "gate that names null", VEC_GP, 0, u_null
	USER u_npc
	WAS "gate to code that is not present", VEC_NP, S_NPC, u_npc
	USER u_jmp
	WAS "jmp by a gate to inner code", VEC_GP, SEL_CODE, u_jmp
	USER u_direct
	WAS "direct call to inner code", VEC_GP, SEL_CODE, u_direct
	USER u_conf
	WAS "direct call to conforming code", VEC_DONE, 0, conf_end
	EQ [seen], S_CONF + 3, "it runs at CPL 3"
	RUNS "jmp by a gate at the same level", jmp G_DPL0:0
	EQ [seen], SEL_CODE, "CS after it"
	; the inner stack
	mov dword [rt_tss + 12], rt_stack0_top - 4096
	mov dword [rt_tss + 16], SEL_UDATA
	USER u_c1
	WAS "SS1 with DPL 3", VEC_TS, SEL_UDATA & ~3, u_c1
	mov dword [rt_tss + 16], 0
	USER u_c1
	WAS "SS1 null", VEC_TS, 0, u_c1
	mov dword [rt_tss + 16], 0x1001
	USER u_c1
	WAS "SS1 beyond the GDT", VEC_TS, 0x1000, u_c1
	mov dword [rt_tss + 16], S_NPD + 1
	USER u_c1
	WAS "SS1 not present", VEC_SS, S_NPD, u_c1

	; returns
	RT_ARM .ret1
	push dword SEL_UDATA
	push dword rt_ustack_top
	push dword SEL_CODE + 3		; DPL 0, RPL 3
	push dword 0
.ret1_at: retf
.ret1:	WAS "far return to RPL 3 of DPL 0 code", VEC_GP, SEL_CODE, .ret1_at
	RT_ARM .ret2
	push dword SEL_DATA
	push dword rt_ustack_top
	push dword SEL_UCODE
	push dword 0
.ret2_at: retf
.ret2:	WAS "far return with an inner SS", VEC_GP, SEL_DATA, .ret2_at
	RT_ARM .ret3
	push dword 0
	push dword 0
.ret3_at: retf
.ret3:	WAS "far return to null", VEC_GP, 0, .ret3_at
	USER u_retf
	WAS "far return inward", VEC_GP, SEL_CODE, u_retf_at

	; interrupt and trap gates
	SETGATE 0x40, h_int, SEL_CODE, 0xee
	SETGATE 0x41, h_int, SEL_CODE, 0xef
	SETGATE 0x42, h_int, SEL_CODE, 0x8e
	SETGATE 0x43, h_int, SEL_CODE, 0x6e		; not present
	SETGATE 0x44, h_int, 0, 0xee
	SETGATE 0x45, h_int, S_NPC, 0xee
	SETGATE 0x46, h_int, SEL_DATA, 0xee
	SETGATE 0x47, h_int16, SEL_CODE, 0xe6
	SETGATE 0x48, h_int, SEL_CODE, 0xea		; no gate
	SETGATE 0x49, h_int, SEL_UCODE & ~3, 0xee
	SETGATE 0x4a, h_int, S_CONF, 0xee
	sti
	pushf
	or dword [esp], F_NT | F_AC | 1
	popf
	int 0x40
.after_int:
	pushf
	pop dword [seen + 32]
	cli
	EQ [seen], 0, "interrupt gate: IF, NT and TF inside"
	EQ [seen + 4], .after_int, "frame: EIP"
	EQ [seen + 8], SEL_CODE, "frame: CS"
	mov eax, [seen + 12]
	and eax, F_IF | F_NT | F_AC | 1
	EQ eax, F_IF | F_NT | F_AC | 1, "frame: EFLAGS"
	mov eax, [seen + 32]
	and eax, F_IF
	EQ eax, F_IF, "iret brings IF back"
	sti
	int 0x41
	cli
	EQ [seen], F_IF, "trap gate leaves IF"
	FAULTS "gate not present", VEC_NP, 0x43 * 8 + 2, int 0x43
	FAULTS "gate that names null", VEC_GP, 0, int 0x44
	FAULTS "gate to code that is not present", VEC_NP, S_NPC, int 0x45
	FAULTS "gate that names data", VEC_GP, SEL_DATA, int 0x46
	FAULTS "no gate", VEC_GP, 0x48 * 8 + 2, int 0x48
	FAULTS "gate to outer code", VEC_GP, SEL_UCODE & ~3, int 0x49
	RUNS "16-bit gate", call low_int47
	RUNS "conforming handler", int 0x4a
	; from CPL 3
	USER u_int42
	WAS "int n with DPL 0 at CPL 3", VEC_GP, 0x42 * 8 + 2, u_int42
	USER u_int3
	WAS "int3 with DPL 0 at CPL 3", VEC_GP, 3 * 8 + 2, u_int3
	USER u_ud
	WAS "an exception does not ask for DPL", VEC_UD, 0, u_ud
	USER u_int40
	WAS "int n with DPL 3", VEC_DONE, 0, u_int40_end
	EQ [seen + 16], rt_ustack_top, "frame: ESP"
	EQ [seen + 20], SEL_UDATA, "frame: SS"
	EQ [seen + 24], rt_stack0_top - 20, "ESP inside"
	USER u_int4a
	WAS "conforming handler from CPL 3", VEC_DONE, 0, u_int4a_end
	EQ [seen + 28], S_CONF + 3, "it runs at CPL 3"
	; errors while an exception is delivered say EXT
	SETGATE VEC_UD, h_int, SEL_CODE, 0x0e
	FAULTS "#UD whose gate is not present", VEC_NP, VEC_UD * 8 + 3, ud2
	SETGATE VEC_UD, h_int, S_NPC, 0x8e
	FAULTS "#UD to code that is not present", VEC_NP, S_NPC + 1, ud2
	SETGATE VEC_UD, h_int, 0, 0x8e
	FAULTS "#UD to the null selector", VEC_GP, 1, ud2
	OLDGATE VEC_UD
	; beyond the table
	mov word [short_idt], 0x40 * 8 - 1
	mov dword [short_idt + 2], rt_idt
	lidt [short_idt]
	FAULTS "beyond the IDT", VEC_GP, 0x40 * 8 + 2, int 0x40
	mov word [short_idt], 0x40 * 8 + 6
	lidt [short_idt]
	FAULTS "beyond the IDT by a byte", VEC_GP, 0x40 * 8 + 2, int 0x40
	lidt [rt_idtr]
	FINISH

inner:
	mov [ss:seen], cs
	mov word [ss:seen + 2], 0
	mov [ss:seen + 4], ss
	mov word [ss:seen + 6], 0
	mov [ss:seen + 8], esp
	mov eax, cs
	cmp dword [ss:rt_resume], 0
	je .end
	test byte [esp + 4], 3
	jz .jumped
%assign i 0
%rep 6
	mov eax, [esp + i * 4]
	mov [ss:seen + 12 + i * 4], eax
	%assign i i + 1
%endrep
	mov eax, SEL_DATA
	mov ds, eax
	retf 8
.end:
.jumped:
	jmp [rt_resume]
same:
	mov [seen], esp
	retf
h_int:
	push eax
	push ds
	mov eax, SEL_DATA
	test byte [esp + 12], 3
	jz .in
	mov eax, SEL_UDATA
.in:	mov ds, eax
	pushf
	pop eax
	and eax, F_IF | F_NT | F_TF
	mov [seen], eax
	mov eax, [esp + 8]
	mov [seen + 4], eax
	mov eax, [esp + 12]
	mov [seen + 8], eax
	mov eax, [esp + 16]
	mov [seen + 12], eax
	mov eax, [esp + 20]
	mov [seen + 16], eax
	mov eax, [esp + 24]
	mov [seen + 20], eax
	lea eax, [esp + 8]
	mov [seen + 24], eax
	mov eax, cs
	mov [seen + 28], eax
	pop ds
	pop eax
	iret
u_call:
	push dword 0x1111
	push dword 0x2222
u_call_at: call G_CALL:0
u_call_ret:
	mov eax, ds
	mov ecx, SEL_UDATA
	mov ds, ecx
	mov [seen + 40], eax
	mov [seen + 36], esp
	mov eax, es
	mov [seen + 44], eax
	DONE
u_call_end:
u_same:
	call G_SAME:0
	DONE
u_same_end:
u_dpl0:	call G_DPL0:0
u_np:	call G_NP:0
u_badc:	call G_BADC:0
u_null:	call G_NULL:0
u_npc:	call G_NPC:0
u_jmp:	jmp G_CALL:0
u_c1:	call G_C1:0
u_direct: call SEL_CODE:inner
u_conf:	call S_CONF:conf
conf:	mov eax, cs
	mov [seen], eax
	DONE
conf_end:
u_retf:	push dword SEL_CODE
	push dword inner
u_retf_at: retf
u_int42: int 0x42
u_int3:	int3
u_ud:	ud2
u_int40: int 0x40
	DONE
u_int40_end:
u_int4a: int 0x4a
	DONE
u_int4a_end:

; what 16-bit gates enter and return to must lie below 64 KiB
section .low
inner16:
	mov [ss:seen], esp
	movzx eax, word [ss:esp + 4]
	mov [ss:seen + 4], eax
	o16 retf 2
h_int16:
	o16 iret
u_16:
	push word 0x3333
	o16 call far [u_16_end.ptr]
	DONE
u_16_end:
.ptr:	dw 0, G_16
low_int47:
	int 0x47
	ret

section .data
short_idt: dw 0
	dd 0
