; v86: virtual-8086 mode; SDM volume 3, chapter 20
%include "rt.inc"

%macro V86 2		; label in .low, extra flags
	RT_ARM %%after
	push dword 0x0700	; GS
	push dword 0x0600	; FS
	push dword 0x0900	; DS
	push dword 0x0a00	; ES
	push dword 0x0500	; SS: base 0x5000
	push dword 0x0800	; SP
	push dword F_VM | 2 | (%2)
	push dword 0		; CS
	push dword %1
	iret
%%after:
%endmacro
IOPL3 equ 0x3000

section .bss
	alignb 8
seen:	resd 12
big_tss: resb 104 + 32 + 8192 + 1

section .text
bits 32
main:
	V86 v_segs, 0
	WAS "int n needs IOPL 3", VEC_GP, 0, v_segs_int
	EQ [x_cs], 0, "CS saved"
	EQ [x_ss], 0x0500, "SS saved"
	EQ [x_sp], 0x07fe, "SP saved"
	EQ [x_vm], 0x0a00, "ES saved"
	EQ [x_vm + 8], 0x0900, "DS saved"
	EQ [x_vm + 16], 0x0600, "FS saved"
	EQ [x_vm + 24], 0x0700, "GS saved"
	mov eax, [x_flags]
	and eax, F_VM
	EQ eax, F_VM, "VM in the frame"
	EQ [x_ds], 0, "DS is null in the handler"
	movzx eax, word [0x57fe]
	EQ eax, 0x1234, "push by SS * 16"
	movzx eax, word [0x9010]
	EQ eax, 0x5678, "store by DS * 16"
	movzx eax, word [0xa020]
	EQ eax, 0x9abc, "store by ES * 16"

	; what IOPL decides
	V86 v_cli, 0
	WAS "cli", VEC_GP, 0, v_cli
	V86 v_sti, 0
	WAS "sti", VEC_GP, 0, v_sti
	V86 v_pushf, 0
	WAS "pushf", VEC_GP, 0, v_pushf
	V86 v_popf, 0
	WAS "popf", VEC_GP, 0, v_popf
	V86 v_iret, 0
	WAS "iret", VEC_GP, 0, v_iret
	V86 v_int3, 0
	WAS "int3 asks for the gate's DPL only", VEC_GP, 3 * 8 + 2, v_int3
	V86 v_flags, IOPL3
	WAS "flags with IOPL 3", VEC_UD, 0, v_flags_end
	movzx eax, word [0x9030]
	and eax, 0x7002
	EQ eax, 0x3002, "pushf shows IOPL"
	; int n with IOPL 3 goes by the IDT
	V86 v_int42, IOPL3
	WAS "int n, gate of DPL 0", VEC_GP, 0x42 * 8 + 2, v_int42
	SETGATE 0x43, handler, SEL_CODE, 0xee
	V86 v_int43, IOPL3
	WAS "int n by the IDT and back", VEC_UD, 0, v_int43_end
	EQ [seen], rt_stack0_top - 36, "frame of nine words"
	EQ [seen + 4], v_int43_ret, "frame: EIP"
	EQ [seen + 8], 0x0500, "frame: SS"
	EQ [seen + 12], 0x0a00, "frame: ES"
	EQ [seen + 16], 0x0900, "frame: DS"
	EQ [seen + 20], 0x0600, "frame: FS"
	EQ [seen + 24], 0x0700, "frame: GS"
	EQ [seen + 28], 0, "DS, ES, FS, GS are null inside"
	EQ [seen + 32], 0, "VM is clear inside"
	SETGATE 0x44, handler, SEL_UCODE & ~3, 0xee
	V86 v_int44, IOPL3
	WAS "a handler must have CPL 0", VEC_GP, SEL_UCODE & ~3, v_int44

	; never allowed, or not known
	V86 v_hlt, IOPL3
	WAS "hlt", VEC_GP, 0, v_hlt
	V86 v_cr0, IOPL3
	WAS "mov from CR0", VEC_GP, 0, v_cr0
	V86 v_lgdt, IOPL3
	WAS "lgdt", VEC_GP, 0, v_lgdt
	V86 v_lldt, IOPL3
	WAS "lldt", VEC_UD, 0, v_lldt
	V86 v_lar, IOPL3
	WAS "lar", VEC_UD, 0, v_lar
	V86 v_arpl, IOPL3
	WAS "arpl", VEC_UD, 0, v_arpl
	V86 v_sldt, IOPL3
	WAS "sldt", VEC_UD, 0, v_sldt
	; the limit is 64 KiB
	V86 v_wrap, 0
	WAS "word over the limit", VEC_GP, 0, v_wrap_at
	V86 v_wrap32, 0
	WAS "32-bit address over the limit", VEC_GP, 0, v_wrap32_at
	V86 v_stack, 0
	WAS "stack over the limit", VEC_SS, 0, v_stack_at
	V86 v_seg, 0
	WAS "segment loads and 32-bit operands", VEC_UD, 0, v_seg_end
	EQ [0x9040], 0xdeadbeef, "what was stored by them"
	EQ [0x9044], 0x00010000, "a far call and its return"
	; the bitmap decides about ports whatever IOPL is
	V86 v_in, IOPL3
	WAS "in without a bitmap", VEC_GP, 0, v_in_at
	SETDESC_AT SEL_FREE, big_tss, 104 + 32 + 8192, 0x89, 0
	mov dword [big_tss + 4], rt_stack0_top
	mov dword [big_tss + 8], SEL_DATA
	mov word [big_tss + 102], 104 + 32
	mov byte [big_tss + 104 + 32 + 8192], 0xff
	mov eax, SEL_FREE
	ltr ax
	V86 v_in, 0
	WAS "in with a clear bit", VEC_UD, 0, v_in_end

	; VME
	mov eax, 1
	cpuid
	test dl, 2
	jnz .vme
	NOTE "no VME"
	mov eax, cr4
	or eax, 1
	FAULTS "CR4.VME where there is none", VEC_GP, 0, mov cr4, eax
	FINISH
.vme:
	mov eax, cr4
	or eax, 1
	mov cr4, eax
	V86 v_vif, 0
	WAS "VME: cli, sti, pushf, popf", VEC_UD, 0, v_vif_end
	movzx eax, word [0x9050]
	and eax, F_IF | 0x3000
	EQ eax, 0x3000, "VME: pushf after cli"
	movzx eax, word [0x9052]
	and eax, F_IF | 0x3000
	EQ eax, F_IF | 0x3000, "VME: pushf after sti"
	mov eax, [x_flags]
	and eax, F_VIF | F_IF
	EQ eax, F_VIF, "VME: sti set VIF"
	V86 v_sti, F_VIP
	WAS "VME: sti with VIP", VEC_GP, 0, v_sti
	V86 v_popfd, 0
	WAS "VME: popfd", VEC_GP, 0, v_popfd
	; redirection: int n by the vector table at 0
	mov word [0x45 * 4], v_redir
	mov word [0x45 * 4 + 2], 0
	V86 v_int45, 0
	WAS "VME: redirected int n", VEC_UD, 0, v_redir_end
	movzx eax, word [0x9060]
	EQ eax, v_int45_ret, "VME: IP in the frame"
	or byte [big_tss + 104 + 0x45 / 8], 1 << (0x45 & 7)
	V86 v_int45, 0
	WAS "VME: bit set, IOPL 0", VEC_GP, 0, v_int45
	; protected mode does not care
	USER u_cli
	WAS "VME does not concern CPL 3", VEC_GP, 0, u_cli
	FINISH

u_cli:	cli

handler:
	push eax
	mov eax, ds
	mov ebx, eax
	mov eax, es
	or ebx, eax
	mov eax, fs
	or ebx, eax
	mov eax, gs
	or ebx, eax
	mov eax, SEL_DATA
	mov ds, eax
	mov [seen + 28], ebx
	lea eax, [esp + 4]
	mov [seen], eax
	mov eax, [esp + 4]
	mov [seen + 4], eax
%assign i 0
%rep 5
	mov eax, [esp + 4 + 16 + i * 4]
	mov [seen + 8 + i * 4], eax
	%assign i i + 1
%endrep
	pushf
	pop eax
	and eax, F_VM
	mov [seen + 32], eax
	pop eax
	iret

section .low
bits 16
%macro VDONE 0		; with IOPL below 3 there is no int n
	ud2
%endmacro
v_segs:
	push word 0x1234
	mov word [0x10], 0x5678
	mov word [es:0x20], 0x9abc
v_segs_int: int 0x42
v_cli:	cli
v_sti:	sti
v_pushf: pushf
v_popf:	popf
v_iret:	iret
v_int3:	int3
v_flags:
	cli
	pushf
	pop word [0x30]
	push word 0x0002
	popf
	sti
	cli
	pushf
	push cs
	push word .next
	iret
.next:
v_flags_end:
	VDONE
v_int42: int 0x42
v_int43: int 0x43
v_int43_ret:
v_int43_end:
	VDONE
v_int44: int 0x44
v_hlt:	hlt
v_cr0:	mov eax, cr0
v_lgdt:	lgdt [0]
v_lldt:	lldt ax
v_lar:	lar ax, ax
v_arpl:	arpl ax, ax
v_sldt:	sldt ax
v_wrap:	mov bx, 0xffff
v_wrap_at: mov ax, [bx]
v_wrap32: mov ebx, 0x10000
v_wrap32_at: mov al, [ebx]
v_stack: mov sp, 1
v_stack_at: push ax
v_seg:
	mov ax, 0x0904
	mov fs, ax
	mov dword [fs:0], 0xdeadbeef
	mov dword [0x44], 0
	call 0:v_far
v_seg_end:
	VDONE
v_far:
	mov word [0x46], 1
	retf
v_in:	mov dx, 0x80
v_in_at: in al, dx
v_in_end:
	VDONE
v_vif:
	cli
	pushf
	pop word [0x50]
	sti
	pushf
	pop word [0x52]
	push word 0x0202
	popf
v_vif_end:
	VDONE
v_popfd: popfd
v_int45: int 0x45
v_int45_ret:
	VDONE
v_redir:
	mov bp, sp
	mov ax, [bp]
	mov [0x60], ax
v_redir_end:
	VDONE
bits 32
