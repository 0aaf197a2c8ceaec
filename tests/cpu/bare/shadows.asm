; shadows: when an interrupt that is pending is taken: after STI, MOV SS and POP SS, POPF, IRET;
; NMI and its blocking; HLT; SDM volume 3, 6.8.3, 6.7.1; volume 2 "STI", "MOV", "HLT"
%include "rt.inc"
%include "apic.inc"

section .bss
	alignb 8
seen_ip: resd 1
seen_ecx: resd 1
count:	resd 1
nmis:	resd 1
nmi_ip:	resd 1
nested:	resd 1

section .text
bits 32
VEC equ 0x50
%macro PENDING 0	; one interrupt waits while IF is clear
	cli
	xor ecx, ecx
	mov dword [count], 0
	mov dword [APIC + A_ICR], SELF | VEC
	call ap_delay
%endmacro
main:
	APIC_ON
	SETGATE VEC, irq, SEL_CODE, 0x8e
	SETGATE VEC + 0x10, irq, SEL_CODE, 0x8e
	SETGATE VEC_NMI, nmi, SEL_CODE, 0x8e
	PENDING
	EQ [count], 0, "nothing comes with IF clear"
	; sti: one more instruction
	sti
	inc ecx
.sti:	inc ecx
	cli
	EQ [count], 1, "sti: taken"
	EQ [seen_ecx], 1, "sti: after one instruction"
	EQ [seen_ip], .sti, "sti: where"
	; sti with IF set already has no shadow; sti; cli lets nothing through
	PENDING
	sti
	cli
	EQ [count], 0, "sti, cli: nothing comes"
	sti
	nop
	cli
	EQ [count], 1, "then it does"
	; popf has no shadow; also when it is known where it goes on
	mov ebx, 4
.again:	PENDING
	pushf
	or dword [esp], F_IF
	popf
.popf:	inc ecx
	cli
	EQ [count], 1, "popf: taken"
	EQ [seen_ip], .popf, "popf: at once"
	EQ [seen_ecx], 0, "popf: before the next instruction"
	dec ebx
	jnz .again
	; iret neither
	PENDING
	push dword F_IF | 2
	push dword SEL_CODE
	push dword .iret
	iret
.iret:	inc ecx
	cli
	EQ [seen_ip], .iret, "iret: at once"
	; sti, hlt: the interrupt ends the hlt
	PENDING
	sti
	hlt
.hlt:	cli
	EQ [count], 1, "sti, hlt: taken"
	EQ [seen_ip], .hlt, "sti, hlt: behind the hlt"
	; mov ss and pop ss: of several such instructions in a row only the first must delay
	PENDING
	mov eax, ss
	sti
	mov ss, eax
	inc ecx
.movss:	inc ecx
	cli
	EQ [count], 1, "sti, mov ss: taken"
	mov eax, .movss
	sub eax, [seen_ip]
	shr eax, 1
	EQ eax, 0, "sti, mov ss: directly behind it or an instruction later"
	PENDING
	push ss
	sti
	pop ss
	inc ecx
.popss:	inc ecx
	cli
	mov eax, .popss
	sub eax, [seen_ip]
	shr eax, 1
	EQ eax, 0, "sti, pop ss: directly behind it or an instruction later"
	; an exception in the shadow is taken all the same
	PENDING
	RT_ARM .ud_end
	sti
.ud:	ud2
.ud_end: WAS "fault in the shadow of sti", VEC_UD, 0, .ud
	EQ [count], 0, "the interrupt still waits"
	sti
	nop
	cli
	EQ [count], 1, "and comes after it"
	; priority: of two the higher vector first; the lower waits for the EOI
	cli
	mov dword [count], 0
	mov dword [APIC + A_ICR], SELF | VEC
	mov dword [APIC + A_ICR], SELF | (VEC + 0x10)
	call ap_delay
	sti
	nop
	nop
	cli
	EQ [count], 2, "two interrupts"
	; TPR holds back
	PENDING
	mov dword [APIC + A_TPR], VEC & 0xf0
	sti
	nop
	nop
	cli
	EQ [count], 0, "TPR holds back"
	sti
	mov dword [APIC + A_TPR], (VEC & 0xf0) - 1
	nop
	nop
	cli
	EQ [count], 1, "TPR lets through"
	mov dword [APIC + A_TPR], 0
	; rep movs is interrupted and goes on
	PENDING
	mov esi, 0x300000
	mov edi, 0x400000
	mov ecx, 0x10000
	cld
	sti
	rep movsd
.rep_end:
	cli
	EQ [count], 1, "rep movs: taken"
	EQ ecx, 0, "rep movs: finished"
	EQ edi, 0x440000, "rep movs: EDI"

	; NMI: not held back by IF, but by a handler that has not come to its iret
	cli
	mov dword [nmis], 0
	mov dword [nested], 0
	mov dword [APIC + A_ICR], 0x44400	; NMI to self
	call ap_delay
	EQ [nmis], 2, "NMI and the one that its handler sent"
	EQ [nested], 0, "not one within the other"
	mov dword [nested], 1			; the handler sends no more
	mov dword [nmis], 0
	sti
	mov dword [APIC + A_ICR], 0x44400
	call ap_delay
	cli
	EQ [nmis], 1, "NMI with IF set"
	FINISH

irq:
	push eax
	inc dword [count]
	mov eax, [esp + 4]
	mov [seen_ip], eax
	mov [seen_ecx], ecx
	mov dword [APIC + A_EOI], 0
	pop eax
	iret
nmi:
	push eax
	inc dword [nmis]
	cmp dword [nested], 0
	jne .end
	cmp dword [nmis], 1
	jne .end
	; a second one, which must wait
	mov dword [APIC + A_ICR], 0x44400
	call ap_delay
	mov eax, [nmis]
	dec eax
	mov [nested], eax
.end:	pop eax
	iret
