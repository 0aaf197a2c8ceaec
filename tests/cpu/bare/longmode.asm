; longmode: what 64-bit mode does differently: interrupt stacks, call gates, segments, compatibility
; mode, the way out of it; SDM volume 3, 5.8.3.1, 6.14, 9.8.5.4; volume 1, 3.4.4.1, 3.6
%include "rt.inc"

G_CALL	equ SEL_FREE		; 64-bit call gate, two slots
G_BADU	equ SEL_FREE + 0x10	; its upper half has a type
S_CODE32 equ SEL_FREE + 0x20	; compatibility mode, DPL 0
S_LD	equ SEL_FREE + 0x28	; L and D both set
S_SMALL	equ SEL_FREE + 0x30	; data, base 0x1000, limit 0

section .bss
	alignb 16
seen:	resq 16
ist1:	resb 1024
ist1_top:
ist2:	resb 1024
ist2_top:

section .text
bits 32
main:
	mov eax, go
	call rt_enter64
bits 64
go:
	mov dword [rt_tss64 + 36], ist1_top
	mov dword [rt_tss64 + 44], ist2_top
	; without IST: the stack stays, cut to 16 bytes; five words always
	SETGATE64 0x50, handler, SEL_CODE64, 0xee, 0
	SETGATE64 0x51, handler, SEL_CODE64, 0xee, 1
	SETGATE64 0x52, handler, SEL_CODE64, 0xee, 2
	mov rbx, rsp
	sub rsp, 24
	mov rdx, rsp
	int 0x50
	mov rsp, rbx
	lea rax, [rbx - 32 - 40]
	EQ [seen], rax, "RSP inside, cut to 16 bytes"
	EQ [seen + 32], rdx, "RSP in the frame"
	EQ [seen + 40], SEL_DATA64, "SS in the frame"
	int 0x51
	EQ [seen], ist1_top - 40, "IST 1"
	EQ [seen + 48], SEL_DATA64, "IST: SS stays within a level"
	int 0x52
	EQ [seen], ist2_top - 40, "IST 2"
	; from CPL 3: RSP0, or the IST; SS is null inside
	USER u_50
	WAS "int from CPL 3", VEC_DONE, 0, u_50_end
	EQ [seen], rt_stack0_top - 40, "RSP0"
	EQ [seen + 32], rt_ustack_top, "RSP of CPL 3 in the frame"
	EQ [seen + 40], SEL_UDATA64, "SS of CPL 3 in the frame"
	EQ [seen + 48], 0, "SS is null inside"
	USER u_51
	WAS "int from CPL 3 with IST", VEC_DONE, 0, u_51_end
	EQ [seen], ist1_top - 40, "IST from CPL 3"
	; gates of other kinds and targets
	SETGATE64 0x53, handler, SEL_CODE, 0xee, 0
	FAULTS "gate to 32-bit code", VEC_GP, SEL_CODE, int 0x53
	SETGATE64 0x54, handler, SEL_CODE64, 0xe6, 0
	FAULTS "16-bit gate", VEC_GP, 0x54 * 8 + 2, int 0x54
	SETGATE64 0x55, handler, SEL_CODE64, 0xe5, 0
	FAULTS "task gate", VEC_GP, 0x55 * 8 + 2, int 0x55
	SETGATE64 0x56, handler, SEL_CODE64, 0x8e, 0
	USER u_56
	WAS "int n with DPL 0 at CPL 3", VEC_GP, 0x56 * 8 + 2, u_56
	SETGATE64 0x57, handler, SEL_CODE64, 0xee, 0
	mov dword [rt_idt64 + 0x57 * 16 + 8], 0x8000
	FAULTS "gate with a non-canonical offset", VEC_GP, 0, int 0x57
	; RSP0 that is not canonical
	mov dword [rt_tss64 + 8], 0x8000
	mov byte [rt_idt64 + VEC_SS * 16 + 4], 2
	USER u_50
	WAS "RSP0 that is not canonical", VEC_SS, 0, u_50
	mov dword [rt_tss64 + 8], 0

	; call gate
	mov eax, inner
	mov [rt_gdt + G_CALL], ax
	shr eax, 16
	mov [rt_gdt + G_CALL + 6], ax
	mov word [rt_gdt + G_CALL + 2], SEL_CODE64
	mov word [rt_gdt + G_CALL + 4], 0xec00
	mov qword [rt_gdt + G_CALL + 8], 0
	mov rax, [rt_gdt + G_CALL]
	mov [rt_gdt + G_BADU], rax
	mov qword [rt_gdt + G_BADU + 8], 0
	mov dword [rt_gdt + G_BADU + 12], 0x0c00
	USER u_gate
	WAS "call gate and return", VEC_DONE, 0, u_gate_end
	EQ [seen], rt_stack0_top - 32, "call gate: RSP inside"
	EQ [seen + 8], u_gate_next, "call gate: RIP"
	EQ [seen + 16], SEL_UCODE64, "call gate: CS"
	EQ [seen + 24], rt_ustack_top, "call gate: RSP"
	EQ [seen + 32], SEL_UDATA64, "call gate: SS"
	EQ [seen + 40], 0, "call gate: SS inside is null"
	FAULTS "upper half of a gate with a type", VEC_GP, G_BADU, call dword far [.badu]

	; segments: bases and limits of CS, DS, ES, SS do not count, those of FS and GS do (base)
	SETDESC S_SMALL, 0x1000, 0, 0x92, 4
	mov eax, S_SMALL
	mov ds, eax
	mov es, eax
	mov dword [seen], 0x5a5a
	mov eax, [seen]
	EQ rax, 0x5a5a, "base and limit of DS do not count"
	mov eax, S_SMALL
	mov gs, eax
	mov eax, [gs:seen - 0x1000]
	EQ rax, 0x5a5a, "base of GS counts, limit does not"
	xor eax, eax
	mov ds, eax
	mov eax, [seen]
	EQ rax, 0x5a5a, "a null DS is good"
	mov eax, SEL_DATA64
	mov ds, eax
	mov es, eax
	SETDESC S_LD, 0, 0xfffff, 0x9b, 14
	FAULTS "code with L and D", VEC_GP, S_LD, call dword far [.ld]
	; results of 32 bits clear the upper half, of 16 and 8 do not
	mov rax, -1
	mov ax, 0
	mov rcx, 0xffffffffffff0000
	EQ rax, rcx, "16 bits leave the rest"
	mov rax, -1
	mov eax, eax
	mov ecx, 0xffffffff
	EQ rax, rcx, "32 bits clear the rest"
	mov rax, -1
	mov al, 0
	mov rcx, -256
	EQ rax, rcx, "8 bits leave the rest"
	; push and pop are 64 bits wide, or 16
	mov rbx, rsp
	push word 0x1234
	mov rcx, rsp
	add rsp, 2
	sub rbx, 2
	EQ rcx, rbx, "push of 16 bits"
	; to compatibility mode at CPL 0 and back
	SETDESC S_CODE32, 0, 0xfffff, 0x9b, 12
	mov rbx, rsp
	jmp dword far [.compat]
.ret64:
	mov rsp, rbx
	EQ [seen + 56], 0x1234, "compatibility mode ran"
	mov ecx, 0x00000008
	EQ [seen + 64], rcx, "addresses wrap at 4 GiB there"
	; out of long mode and in again
	jmp dword far [.leave]
.again:
	mov rsp, rt_stack_top
	EQ [seen + 72], 0, "LMA went with PG"
	FINISH
.badu:	dd 0
	dw G_BADU
.ld:	dd 0
	dw S_LD
.compat: dd compat
	dw S_CODE32
.leave:	dd leave_
	dw S_CODE32

handler:
	push rax
	mov [seen + 56], rax
	lea rax, [rsp + 8]
	mov [seen], rax
%assign i 0
%rep 5
	mov rax, [rsp + 8 + i * 8]
	mov [seen + 8 + i * 8], rax
	%assign i i + 1
%endrep
	mov eax, ss
	mov [seen + 48], rax
	pop rax
	iretq
inner:
	mov [seen], rsp
%assign i 0
%rep 4
	mov rax, [rsp + i * 8]
	mov [seen + 8 + i * 8], rax
	%assign i i + 1
%endrep
	mov eax, ss
	mov [seen + 40], rax
	o64 retf
u_50:	int 0x50
	DONE
u_50_end:
u_51:	int 0x51
	DONE
u_51_end:
u_56:	int 0x56
u_gate:	call dword far [u_gate_end.ptr]
u_gate_next:
	DONE
u_gate_end:
.ptr:	dd 0
	dw G_CALL
bits 32
compat:
	mov eax, SEL_DATA
	mov ds, eax
	mov ss, eax
	mov dword [seen + 56], 0x1234
	mov dword [seen + 60], 0
	mov dword [seen + 64], 0
	mov dword [seen + 68], 0
	mov eax, 0xfffffff0
	lea eax, [eax + 24]
	mov [seen + 64], eax
	jmp SEL_CODE64:go.ret64
leave_:
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov esp, rt_stack_top
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	mov ecx, 0xc0000080
	rdmsr
	mov edx, eax
	shr edx, 10
	and edx, 1
	mov [seen + 72], edx
	mov dword [seen + 76], 0
	and eax, ~0x100
	wrmsr
	mov eax, cr4
	and eax, ~0x20
	mov cr4, eax
	; the TSS has to be made available for the way in
	and byte [rt_gdt + SEL_TSS64 + 5], ~2
	mov eax, go.again
	call rt_enter64
