; wake-guest: how late HLT ends. A thousand times: the local APIC's timer is set a millisecond ahead by
; its TSC deadline, HLT, and the handler reads the TSC. Then it prints the TSC's frequency in kHz and
; each lateness in its cycles, hexadecimal, a line each, and ends the machine.
%define NAME "wake"
%include "rt.inc"
%include "apic.inc"

TIMER	equ 0x60
SAMPLES	equ 1000
MSR_DEADLINE equ 0x6e0

section .bss
	alignb 8
khz:	resd 1
due:	resq 1
late:	resd SAMPLES

section .text
bits 32
main:
	APIC_ON
	mov eax, 0x40000010
	cpuid
	mov [khz], eax
	SETGATE TIMER, irq, SEL_CODE, 0x8e
	mov dword [APIC + A_TIMER], TIMER | 0x40000	; TSC deadline
	xor edi, edi
.next:
	rdtsc
	add eax, [khz]		; cycles in a millisecond
	adc edx, 0
	mov [due], eax
	mov [due + 4], edx
	mov ecx, MSR_DEADLINE
	wrmsr
	sti
	hlt
	cli
	inc edi
	cmp edi, SAMPLES
	jb .next
	mov ebx, [khz]
	call put
	xor edi, edi
.print:
	mov ebx, [late + edi * 4]
	call put
	inc edi
	cmp edi, SAMPLES
	jb .print
	xor eax, eax
	out DEBUG_EXIT, al
	cli
	hlt
put:	call rt_hex32
	mov esi, rt_text_nl
	jmp rt_puts32
irq:
	rdtsc
	sub eax, [due]
	sbb edx, [due + 4]
	jz .store
	mov eax, -1		; seconds, or early: a sample that nobody overlooks
.store:
	mov [late + edi * 4], eax
	mov dword [APIC + A_EOI], 0
	iret
