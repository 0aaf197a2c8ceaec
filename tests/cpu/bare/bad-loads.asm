; bad-loads: loads of control registers after which there is no way back if they are let through;
; SDM volume 3, 2.5, 9.8.5; on their own, because an emulator that lets one through is lost
%include "rt.inc"

section .text
bits 32
main:
	mov eax, 0x80000030
	FAULTS "CR0.PG without PE", VEC_GP, 0, mov cr0, eax
	; LME and PG without PAE
	mov ecx, 0xc0000080
	rdmsr
	or eax, 0x100
	wrmsr
	mov eax, cr0
	or eax, 0x80000000
	FAULTS "long mode without PAE", VEC_GP, 0, mov cr0, eax
	mov eax, go
	call rt_enter64
bits 64
go:
	mov rax, cr4
	bts rax, 15
	FAULTS "CR4 bit 15", VEC_GP, 0, mov cr4, rax
	mov rax, cr4
	bts rax, 40
	FAULTS "CR4 bit 40", VEC_GP, 0, mov cr4, rax
	mov rax, cr0
	btr rax, 0
	FAULTS "PE cleared with PG", VEC_GP, 0, mov cr0, rax
	mov rax, cr4
	btr rax, 5
	FAULTS "PAE cleared in long mode", VEC_GP, 0, mov cr4, rax
	mov ecx, 0xc0000080
	rdmsr
	btr eax, 8
	FAULTS "LME cleared with PG", VEC_GP, 0, wrmsr
	mov eax, 0x80000008
	cpuid
	cmp al, 52
	jae .no_addr
	mov cl, al
	mov edi, 1
	shl rdi, cl
	lea rax, [rdi + rt_pml4]
	FAULTS "CR3: address above the physical width", VEC_GP, 0, mov cr3, rax
.no_addr:
	mov rax, cr3
	EQ rax, rt_pml4, "CR3 as it was"
	FINISH
