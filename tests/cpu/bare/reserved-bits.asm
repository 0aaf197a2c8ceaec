; reserved-bits: in paging structures, control registers, EFER; SDM volume 3, 4.5, 2.5, 2.2.1
%include "rt.inc"

section .bss
	alignb 4096
pdpt2:	resb 4096
pd2:	resb 4096
table:	resb 4096
frame_a: resb 4096
maxphy:	resq 1

section .text
bits 32
main:
	mov eax, go
	call rt_enter64
bits 64
HIGH equ 0xffff800000000000
%macro ENTRY 3+	; text, error, instruction that sets an entry up
	mov qword [rt_pml4 + 256 * 8], pdpt2 + 7
	mov qword [pdpt2], pd2 + 7
	mov qword [pd2], table + 7
	mov qword [table], frame_a + 7
	%3
	mov rcx, cr3
	mov cr3, rcx
	FAULTS %1, VEC_PF, %2, mov dl, [rbx]
%endmacro
go:
	mov eax, 0x80000008
	cpuid
	mov rbx, HIGH
	movzx ecx, al
	mov [maxphy], rcx
	mov edi, 1
	shl rdi, cl			; the first bit above the physical address width
	ENTRY "PML4E: bit 7", 9, or qword [rt_pml4 + 256 * 8], 0x80
	ENTRY "PDPTE of 1 GiB: bit 13", 9, mov qword [pdpt2], 0x2087
	ENTRY "PDPTE of 1 GiB: bit 29", 9, mov qword [pdpt2], 0x20000087
	ENTRY "PDE of 2 MiB: bit 13", 9, mov qword [pd2], 0x2087
	ENTRY "PDE of 2 MiB: bit 20", 9, mov qword [pd2], 0x100087
	cmp byte [maxphy], 52
	jae .no_addr
	ENTRY "PML4E: address", 9, or [rt_pml4 + 256 * 8], rdi
	ENTRY "PDPTE: address", 9, or [pdpt2], rdi
	ENTRY "PDE: address", 9, or [pd2], rdi
	ENTRY "PTE: address", 9, or [table], rdi
	ENTRY "PTE: bit 51", 9, bts qword [table], 51
.no_addr:
	ENTRY "an absent entry may hold anything", 0, mov qword [table], -2
	ENTRY "absent PDE likewise", 0, mov qword [pd2], -2
	; ignored bits are no fault
	mov qword [pd2], table + 7
	mov rax, 0x7ff0000000000e07	; 62:52 and 11:9
	add rax, frame_a
	mov [table], rax
	mov rax, cr3
	mov cr3, rax
	RUNS "ignored bits", mov dl, [rbx]
	; error code of a write and of a user read
	bts qword [table], 51
	cmp byte [maxphy], 52
	jae .cr
	mov rax, cr3
	mov cr3, rax
	FAULTS "reserved bit, write", VEC_PF, 0xb, mov [rbx], dl
	USER .u_read
	WAS "reserved bit, user read", VEC_PF, 0xd, .u_read
.cr:
	; control registers
	mov rax, cr0
	bts rax, 32
	FAULTS "CR0 bit 32", VEC_GP, 0, mov cr0, rax
	mov rax, cr0
	bts rax, 29
	btr rax, 30
	FAULTS "NW without CD", VEC_GP, 0, mov cr0, rax
	mov eax, 16
	FAULTS "CR8 above 15", VEC_GP, 0, mov cr8, rax
	mov eax, 15
	RUNS "CR8 of 15", mov cr8, rax
	mov rax, cr8
	EQ rax, 15, "CR8 reads back"
	xor eax, eax
	mov cr8, rax
	FAULTS "CR1", VEC_UD, 0, db 0x0f, 0x20, 0xc8
	FAULTS "CR5", VEC_UD, 0, db 0x0f, 0x22, 0xe8
	FAULTS "CR9", VEC_UD, 0, db 0x44, 0x0f, 0x20, 0xc8
	mov rax, 0x100000000
	FAULTS "DR7 bit 32", VEC_GP, 0, mov dr7, rax
	FAULTS "DR6 bit 32", VEC_GP, 0, mov dr6, rax
	; EFER
	mov ecx, 0xc0000080
	rdmsr
	bts eax, 1
	FAULTS "EFER bit 1", VEC_GP, 0, wrmsr
	rdmsr
	bts edx, 0
	FAULTS "EFER bit 32", VEC_GP, 0, wrmsr
	rdmsr
	EQ rdx, 0, "EFER upper half"
	; at CPL 3
	USER .u_cr
	WAS "mov from CR0 at CPL 3", VEC_GP, 0, .u_cr
	USER .u_dr
	WAS "mov from DR7 at CPL 3", VEC_GP, 0, .u_dr
	USER .u_msr
	WAS "rdmsr at CPL 3", VEC_GP, 0, .u_msr_at
	USER .u_hlt
	WAS "hlt at CPL 3", VEC_GP, 0, .u_hlt
	USER .u_invlpg
	WAS "invlpg at CPL 3", VEC_GP, 0, .u_invlpg
	USER .u_smsw
	WAS "smsw at CPL 3", VEC_DONE, 0, .u_smsw_end
	mov eax, 0
	lmsw ax
	mov rax, cr0
	and eax, 1
	EQ rax, 1, "lmsw does not clear PE"
	FINISH
.u_read: mov dl, [rbx]
.u_cr:	mov rax, cr0
.u_dr:	mov rax, dr7
.u_msr:	mov ecx, 0xc0000080
.u_msr_at: rdmsr
.u_hlt:	hlt
.u_invlpg: invlpg [rbx]
.u_smsw: smsw eax
	DONE
.u_smsw_end:
