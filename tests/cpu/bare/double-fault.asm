; double-fault: which pairs of exceptions make a double fault, and what it pushes; SDM volume 3,
; 6.15 "Interrupt 8"
%include "rt.inc"

section .bss
	alignb 4096
table:	resb 4096
stack_df: resb 4096
stack_df_top:
idtr:	resb 10

section .text
bits 32
%macro NOGATE 1
	and byte [rt_idt + (%1) * 8 + 5], 0x7f
%endmacro
main:
	; a contributory exception while another one is delivered
	NOGATE VEC_GP
	xor eax, eax
	FAULTS "#GP, then #NP", VEC_DF, 0, mov ss, ax
	OLDGATE VEC_GP
	NOGATE VEC_NP
	mov byte [rt_gdt + SEL_FREE + 5], 0x12
	mov eax, SEL_FREE
	FAULTS "#NP, then #NP", VEC_DF, 0, mov es, ax
	OLDGATE VEC_NP
	NOGATE VEC_DE
	xor ecx, ecx
	FAULTS "#DE, then #NP", VEC_DF, 0, div ecx
	OLDGATE VEC_DE
	; a benign one, then a contributory one: no double fault
	NOGATE VEC_UD
	FAULTS "#UD, then #NP", VEC_NP, VEC_UD * 8 + 3, ud2
	OLDGATE VEC_UD
	; int n is benign
	mov byte [rt_idt + 0x77 * 8 + 5], 0x82
	FAULTS "int n, then #GP", VEC_GP, 0x77 * 8 + 2, int 0x77
	mov eax, go
	call rt_enter64
bits 64
VIRT equ 0x40000000
%macro NOGATE64 1
	and byte [rt_idt64 + (%1) * 16 + 5], 0x7f
%endmacro
%macro GATE64 1
	or byte [rt_idt64 + (%1) * 16 + 5], 0x80
%endmacro
go:
	mov qword [rt_pd + 4096], table + 7
	mov rax, cr3
	mov cr3, rax
	mov rsi, 0x0000800000000000
	NOGATE64 VEC_GP
	FAULTS "64-bit: #GP, then #NP", VEC_DF, 0, mov eax, [rsi]
	GATE64 VEC_GP
	NOGATE64 VEC_PF
	FAULTS "64-bit: #PF, then #NP", VEC_DF, 0, mov eax, [VIRT]
	GATE64 VEC_PF
	NOGATE64 VEC_UD
	FAULTS "64-bit: #UD, then #NP", VEC_NP, VEC_UD * 8 + 3, ud2
	GATE64 VEC_UD
	; a stack that is missing: #PF while #PF is delivered; the double fault has its own stack
	mov dword [rt_tss64 + 36], stack_df_top
	mov byte [rt_idt64 + VEC_DF * 16 + 4], 1
	RT_ARM .stack
	mov rsp, VIRT + 0x800
.push:	push rax
.stack:	WAS "64-bit: push to a missing stack", VEC_DF, 0, .push
	EQ [x_sp], VIRT + 0x800, "its RSP"
	EQ [x_cs], SEL_CODE64, "its CS"
	; #GP, then #PF while the frame is pushed: #PF in its turn meets the same stack
	RT_ARM .stack2
	mov rsp, VIRT + 0x800
.ud:	ud2
.stack2: WAS "64-bit: #UD on a missing stack", VEC_DF, 0, .ud
	; the stack pointer is cut to 16 bytes
	RT_ARM .align
	mov rsp, stack_df_top - 5
.ud2:	ud2
.align:	WAS "#UD with a crooked stack", VEC_UD, 0, .ud2
	EQ [x_sp], stack_df_top - 5, "RSP in the frame is as it was"
	; An IDT of which vectors below 14 lie on one page, the others on the next; the first is taken
	; away: #UD, then #PF while it is delivered, is #PF in its turn and no double fault.
	mov esi, rt_idt64
	mov edi, idt_pages + 4096 - 14 * 16
	mov ecx, 4096
	cld
	rep movsb
	mov qword [table + 8], idt_pages + 3
	mov qword [table + 16], idt_pages + 4096 + 3
	mov word [idtr], 4095
	mov qword [idtr + 2], VIRT + 0x2000 - 14 * 16
	lidt [idtr]
	FAULTS "IDT over two pages", VEC_UD, 0, ud2
	mov qword [table + 8], 0
	invlpg [VIRT + 0x1000]
	FAULTS "#UD, then #PF", VEC_PF, 0, ud2
	EQ [x_cr2], VIRT + 0x2000 - 14 * 16 + VEC_UD * 16, "CR2 is the gate"
	lidt [rt_idtr64]
	FINISH

section .bss
	alignb 4096
idt_pages: resb 3 * 4096
