; apic: local APIC registers, timer, IPIs and a second processor; SDM volume 3, chapter 11
; cpus: 2
%include "rt.inc"
%include "apic.inc"

section .bss
	alignb 8
count:	resd 1
order:	resd 8
n_order: resd 1
ap_flag: resd 1
ap_id:	resd 1
ap_irqs: resd 1
ap_go:	resd 1
shared:	resd 1
inits:	resd 1

section .text
bits 32
TIMER equ 0x60
main:
	APIC_ON
	mov ecx, 0x1b
	rdmsr
	EQ eax, 0xfee00900, "IA32_APIC_BASE: enabled, boot processor"
	mov eax, [APIC + A_VER]
	and eax, 0xff
	shr eax, 4
	EQ eax, 1, "an integrated APIC"
	mov eax, 1
	cpuid
	shr ebx, 24
	mov eax, [APIC + A_ID]
	shr eax, 24
	EQ eax, ebx, "APIC ID as CPUID has it"
	; vectors below 16 are an error
	SETGATE 5, irq, SEL_CODE, 0x8e
	mov dword [APIC + A_ESR], 0
	mov dword [APIC + A_ICR], SELF | 5
	call ap_delay
	mov dword [APIC + A_ESR], 0
	mov eax, [APIC + A_ESR]
	and eax, 0x60
	cmp eax, 0
	setne al
	movzx eax, al
	EQ eax, 1, "ESR: illegal vector"
	sti
	nop
	cli
	OLDGATE 5
	; timer: counts down, one shot
	SETGATE TIMER, irq, SEL_CODE, 0x8e
	mov dword [APIC + A_DIV], 0xb
	mov dword [APIC + A_TIMER], TIMER
	mov dword [count], 0
	sti
	mov dword [APIC + A_INIT], 100000
	mov eax, [APIC + A_COUNT]
	cmp eax, 100000
	setbe al
	movzx eax, al
	EQ eax, 1, "current count is not above the initial one"
	SPIN [count], 1, jae
	EQ [count], 1, "timer, one shot"
	EQ [APIC + A_COUNT], 0, "it has stopped at zero"
	mov ecx, 20
.quiet:	call ap_delay
	loop .quiet
	EQ [count], 1, "and comes no more"
	; periodic
	mov dword [count], 0
	mov dword [APIC + A_TIMER], TIMER | 0x20000
	mov dword [APIC + A_INIT], 50000
	SPIN [count], 5, jae
	mov dword [APIC + A_TIMER], TIMER | 0x10000
	cli
	mov eax, [count]
	cmp eax, 5
	setae al
	movzx eax, al
	EQ eax, 1, "timer, periodic"
	mov dword [APIC + A_INIT], 0
	; masked: the count goes on, no interrupt
	sti
	nop
	mov dword [count], 0
	mov dword [APIC + A_TIMER], TIMER | 0x10000
	mov dword [APIC + A_INIT], 1000
	SPIN [APIC + A_COUNT], 0, je
	EQ [count], 0, "masked timer"
	; TSC deadline
	mov eax, 1
	cpuid
	bt ecx, 24
	jnc .no_deadline
	mov dword [APIC + A_TIMER], TIMER | 0x40000
	mfence
	rdtsc
	add eax, 1000000
	adc edx, 0
	mov ecx, 0x6e0
	wrmsr
	SPIN [count], 1, jae
	EQ [count], 1, "TSC deadline"
	mov ecx, 0x6e0
	rdmsr
	or eax, edx
	EQ eax, 0, "the deadline is cleared"
.no_deadline:
	mov dword [APIC + A_TIMER], TIMER | 0x10000
	cli
	; IRR, ISR, PPR
	mov dword [APIC + A_ICR], SELF | 0x51
	call ap_delay
	mov eax, [APIC + A_IRR + 0x20]
	EQ eax, 1 << 17, "IRR"
	SETGATE 0x51, in_service, SEL_CODE, 0x8e
	sti
	nop
	nop
	cli
	EQ [order], 1 << 17, "ISR inside"
	EQ [order + 4], 0x50, "PPR inside"
	EQ [order + 8], 0, "IRR inside"
	EQ [APIC + A_ISR + 0x20], 0, "ISR after the EOI"
	; priority among three
	mov dword [n_order], 0
	SETGATE 0x51, o51, SEL_CODE, 0x8e
	SETGATE 0x61, o61, SEL_CODE, 0x8e
	SETGATE 0x71, o71, SEL_CODE, 0x8e
	mov dword [APIC + A_ICR], SELF | 0x51
	mov dword [APIC + A_ICR], SELF | 0x71
	mov dword [APIC + A_ICR], SELF | 0x61
	call ap_delay
	sti
	nop
	nop
	cli
	EQ [order], 0x71, "first the highest"
	EQ [order + 4], 0x61, "then the middle one"
	EQ [order + 8], 0x51, "then the lowest"
	; software disable masks the LVT
	mov dword [APIC + A_TIMER], TIMER
	mov dword [APIC + A_SVR], 0xff
	mov eax, [APIC + A_TIMER]
	and eax, 0x10000
	EQ eax, 0x10000, "disabling masks the LVT"
	APIC_ON

	; the second processor
	START_AP ap_main
	SPIN [ap_flag], 1, je
	EQ [ap_flag], 1, "the second processor runs"
	cmp dword [ap_flag], 1
	jne .end
	EQ [ap_id], 1, "its APIC ID"
	; IPI there
	mov dword [APIC + A_ICR2], 1 << 24
	mov dword [APIC + A_ICR], 0x4000 | 0x52
	SPIN [ap_irqs], 1, jae
	EQ [ap_irqs], 1, "IPI by ID"
	; to all but self
	mov dword [APIC + A_ICR], 0xc4000 | 0x52
	SPIN [ap_irqs], 2, jae
	EQ [ap_irqs], 2, "IPI to all but self"
	; logical, flat
	mov dword [APIC + A_ICR2], 2 << 24
	mov dword [APIC + A_ICR], 0x4800 | 0x52
	SPIN [ap_irqs], 3, jae
	EQ [ap_irqs], 3, "IPI, logical destination"
	; NMI there
	mov dword [APIC + A_ICR2], 1 << 24
	mov dword [APIC + A_ICR], 0x4400
	SPIN [ap_irqs], 1003, jae
	EQ [ap_irqs], 1003, "NMI to the other processor"
	; it sends us one
	SETGATE 0x53, irq, SEL_CODE, 0x8e
	mov dword [count], 0
	mov dword [ap_go], 1
	sti
	SPIN [count], 1, jae
	cli
	EQ [count], 1, "IPI from the other processor"
	; locked operations of both at once
	mov dword [shared], 0
	mov dword [ap_go], 2
	mov ecx, 100000
.add:	lock inc dword [shared]
	dec ecx
	jnz .add
	SPIN [ap_go], 0, je
	EQ [shared], 200000, "lock inc by both"
	; INIT puts it back to wait for SIPI; it starts anew
	mov dword [ap_flag], 0
	START_AP ap_main
	SPIN [ap_flag], 1, je
	EQ [ap_flag], 1, "started a second time"

	; x2APIC
.end:
	mov eax, 1
	cpuid
	bt ecx, 21
	jc .x2
	NOTE "no x2APIC"
	FINISH
.x2:
	mov ecx, 0x1b
	rdmsr
	or eax, 0x400
	wrmsr
	mov ecx, 0x802
	rdmsr
	EQ eax, 0, "x2APIC: ID"
	SETGATE 0x54, x2irq, SEL_CODE, 0x8e
	mov dword [count], 0
	mov ecx, 0x83f
	mov eax, 0x54
	xor edx, edx
	wrmsr			; SELF IPI
	sti
	SPIN [count], 1, jae
	cli
	EQ [count], 1, "x2APIC: self IPI"
	mov ecx, 0x830
	mov eax, SELF | 0x54
	xor edx, edx
	wrmsr
	sti
	SPIN [count], 2, jae
	cli
	EQ [count], 2, "x2APIC: ICR"
	mov ecx, 0x80e
	FAULTS "x2APIC: no such register", VEC_GP, 0, rdmsr
	mov ecx, 0x808
	mov eax, 0x100
	FAULTS "x2APIC: reserved bits of TPR", VEC_GP, 0, wrmsr
	mov ecx, 0x1b
	mov eax, 0xfee00900
	xor edx, edx
	FAULTS "from x2APIC to xAPIC directly", VEC_GP, 0, wrmsr
	mov ecx, 0x1b
	rdmsr
	and eax, ~0xc00
	wrmsr
	mov eax, 1
	cpuid
	shr edx, 9
	and edx, 1
	EQ edx, 0, "CPUID hides a disabled APIC"
	FINISH

irq:
	inc dword [count]
	mov dword [APIC + A_EOI], 0
	iret
x2irq:
	pushad
	inc dword [count]
	mov ecx, 0x80b
	xor eax, eax
	xor edx, edx
	wrmsr
	popad
	iret
in_service:
	push eax
	mov eax, [APIC + A_ISR + 0x20]
	mov [order], eax
	mov eax, [APIC + A_PPR]
	mov [order + 4], eax
	mov eax, [APIC + A_IRR + 0x20]
	mov [order + 8], eax
	mov dword [APIC + A_EOI], 0
	pop eax
	iret
%macro ORDER 1
	push eax
	mov eax, [n_order]
	mov dword [order + eax * 4], %1
	inc dword [n_order]
	mov dword [APIC + A_EOI], 0
	pop eax
	iret
%endmacro
o51:	ORDER 0x51
o61:	ORDER 0x61
o71:	ORDER 0x71

ap_main:
	APIC_ON
	mov dword [APIC + 0xe0], -1		; flat
	mov dword [APIC + 0xd0], 2 << 24
	mov eax, [APIC + A_ID]
	shr eax, 24
	mov [ap_id], eax
	SETGATE 0x52, ap_irq, SEL_CODE, 0x8e
	SETGATE VEC_NMI, ap_nmi, SEL_CODE, 0x8e
	sti
	mov dword [ap_flag], 1
.wait:
	cmp dword [ap_go], 1
	jne .not1
	mov dword [ap_go], 0
	mov dword [APIC + A_ICR2], 0
	mov dword [APIC + A_ICR], 0x4000 | 0x53
.not1:
	cmp dword [ap_go], 2
	jne .not2
	mov ecx, 100000
.add:	lock inc dword [shared]
	dec ecx
	jnz .add
	mov dword [ap_go], 0
.not2:
	pause
	jmp .wait
ap_irq:
	lock inc dword [ap_irqs]
	mov dword [APIC + A_EOI], 0
	iret
ap_nmi:
	lock add dword [ap_irqs], 1000
	iret
