; pcid: process-context identifiers and INVPCID; SDM volume 3, 4.10
%include "rt.inc"

section .bss
	alignb 4096
pml4_b:	resb 4096
pdpt_b:	resb 4096
pd_b:	resb 4096
table_a: resb 4096
table_b: resb 4096
frame_a: resb 4096
frame_b: resb 4096
frame_c: resb 4096
desc:	resb 16

section .text
bits 32
main:
	mov eax, 1
	cpuid
	bt ecx, 17
	jc .has
	NOTE "no PCID"
	mov eax, cr4
	or eax, 0x20000
	FAULTS "CR4.PCIDE where there is none", VEC_GP, 0, mov cr4, eax
	FINISH
.has:
	mov eax, cr4
	or eax, 0x20020
	FAULTS "PCIDE outside long mode", VEC_GP, 0, mov cr4, eax
	mov eax, go
	call rt_enter64
bits 64
VIRT equ 0x40000000
NOFLUSH equ 63
go:
	; root A: VIRT -> frame_a; root B: the same world with VIRT -> frame_b
	mov qword [rt_pd + 4096], table_a + 7
	mov qword [table_a], frame_a + 7
	mov qword [table_b], frame_b + 7
	mov qword [pml4_b], pdpt_b + 7
	mov rax, [rt_pdpt]
	mov [pdpt_b], rax
	mov qword [pdpt_b + 8], pd_b + 7
	mov qword [pd_b], table_b + 7
	mov dword [frame_a], 0xa
	mov dword [frame_b], 0xb
	mov dword [frame_c], 0xc
	; PCIDE wants CR3[11:0] = 0
	mov eax, rt_pml4 + 8
	mov cr3, rax
	mov rax, cr4
	bts rax, 17
	FAULTS "PCIDE with CR3[11:0] not zero", VEC_GP, 0, mov cr4, rax
	mov ecx, rt_pml4
	mov cr3, rcx
	RUNS "PCIDE", mov cr4, rax
	mov eax, [VIRT]
	EQ rax, 0xa, "PCID 0"
	mov eax, pml4_b + 1
	mov cr3, rax
	mov eax, [VIRT]
	EQ rax, 0xb, "PCID 1"
	mov rax, cr3
	EQ rax, pml4_b + 1, "CR3 reads back with its PCID"
	mov eax, rt_pml4
	bts rax, NOFLUSH
	mov cr3, rax
	mov eax, [VIRT]
	EQ rax, 0xa, "back to PCID 0 without a flush"
	mov rax, cr3
	EQ rax, rt_pml4, "bit 63 is not kept"
	mov eax, pml4_b + 1
	bts rax, NOFLUSH
	mov cr3, rax
	mov eax, [VIRT]
	EQ rax, 0xb, "back to PCID 1 without a flush"
	; a load without bit 63 drops that PCID
	mov qword [table_b], frame_c + 7
	mov eax, pml4_b + 1
	mov cr3, rax
	mov eax, [VIRT]
	EQ rax, 0xc, "a load drops what its PCID had"
	; invlpg: current PCID
	mov qword [table_b], frame_b + 7
	invlpg [VIRT]
	mov eax, [VIRT]
	EQ rax, 0xb, "invlpg"
	; a page that another PCID may write becomes code: what it writes later is seen
	mov dword [VIRT], 0xc301b0 ; mov al, 1; ret
	mov eax, rt_pml4
	bts rax, NOFLUSH
	mov cr3, rax
	mov eax, frame_b
	call rax
	movzx eax, al
	EQ rax, 1, "code, written in another PCID"
	mov eax, pml4_b + 1
	bts rax, NOFLUSH
	mov cr3, rax
	mov dword [VIRT], 0xc302b0
	mov eax, frame_b
	call rax
	movzx eax, al
	EQ rax, 2, "code, written again in another PCID"
	mov dword [VIRT], 0xb
	mov eax, 7
	xor ecx, ecx
	cpuid
	bt ebx, 10
	jc .invpcid
	FAULTS "invpcid where there is none", VEC_UD, 0, invpcid rax, [desc]
	jmp .end
.invpcid:
	; type 0: an address of another PCID. We are in PCID 1; change PCID 0's page.
	mov qword [table_a], frame_c + 7
	mov qword [desc], 0
	mov qword [desc + 8], VIRT
	xor eax, eax
	invpcid rax, [desc]
	mov eax, rt_pml4
	bts rax, NOFLUSH
	mov cr3, rax
	mov eax, [VIRT]
	EQ rax, 0xc, "invpcid 0: an address of another PCID"
	; type 1: everything of another PCID
	mov qword [table_b], frame_a + 7
	mov qword [desc], 1
	mov eax, 1
	invpcid rax, [desc]
	mov eax, pml4_b + 1
	bts rax, NOFLUSH
	mov cr3, rax
	mov eax, [VIRT]
	EQ rax, 0xa, "invpcid 1: all of another PCID"
	; type 3 and 2: everything, of this PCID and of another. We are in PCID 1.
	mov qword [table_a], frame_b + 7
	mov qword [table_b], frame_c + 7
	mov eax, 3
	invpcid rax, [desc]
	mov eax, [VIRT]
	EQ rax, 0xc, "invpcid 3, this PCID"
	mov eax, rt_pml4
	bts rax, NOFLUSH
	mov cr3, rax
	mov eax, [VIRT]
	EQ rax, 0xb, "invpcid 3, another PCID"
	mov qword [table_a], frame_a + 7
	mov qword [table_b], frame_b + 7
	mov eax, 2
	invpcid rax, [desc]
	mov eax, [VIRT]
	EQ rax, 0xa, "invpcid 2, this PCID"
	mov eax, pml4_b + 1
	bts rax, NOFLUSH
	mov cr3, rax
	mov eax, [VIRT]
	EQ rax, 0xb, "invpcid 2, another PCID"
	; bad ones
	mov eax, 4
	FAULTS "invpcid 4", VEC_GP, 0, invpcid rax, [desc]
	mov qword [desc], 0x1000
	mov eax, 1
	FAULTS "invpcid: reserved bits", VEC_GP, 0, invpcid rax, [desc]
	mov qword [desc], 1
	mov rcx, 0x0000800000000000
	mov [desc + 8], rcx
	xor eax, eax
	FAULTS "invpcid 0: non-canonical", VEC_GP, 0, invpcid rax, [desc]
	mov eax, 1
	RUNS "invpcid 1 ignores the address", invpcid rax, [desc]
	USER .u_invpcid
	WAS "invpcid at CPL 3", VEC_GP, 0, .u_invpcid
.end:
	; clearing PCIDE flushes everything
	mov eax, rt_pml4
	bts rax, NOFLUSH
	mov cr3, rax
	mov eax, [VIRT]
	mov qword [table_a], frame_c + 7
	mov rax, cr4
	btr rax, 17
	mov cr4, rax
	mov eax, [VIRT]
	EQ rax, 0xc, "clearing PCIDE flushes"
	FINISH
.u_invpcid:
	invpcid rax, [desc]
